#include "daemon/upstream/curl_central_calls.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "daemon/base/methods.h"
#include "daemon/base/text.h"
#include "daemon/loop/curl_memory.h"
#include "daemon/upstream/grpc_exchange.h"

namespace tokend::upstream {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kConnectTimeout = 5s;  // TLS included
constexpr std::chrono::milliseconds kPassOver = 5s;        // since a connection could not be made
// A tokend pings an idle connection after 60 s, and libcurl answers only while a call runs.
constexpr std::chrono::milliseconds kMaxIdle = 50s;
constexpr std::chrono::milliseconds kMaxAge = 50min;  // a tokend ends a connection after an hour
constexpr std::chrono::seconds kSystemCaMaxAge = 60s;
constexpr std::size_t kMaxHeader = std::size_t{16} * 1024;
constexpr std::size_t kMaxWaiting = 4096;
// Of a call whose caller waits less long: a connection that is only slow is not taken for dead.
constexpr std::chrono::milliseconds kLeastTimeout = 5s;

std::string HostAndPort(const std::string& host, std::uint16_t port) {
  return config::ToString(config::TcpAddress{host, port});
}

std::string UrlOf(const config::TokendUpstream& options) {
  const auto* tcp = std::get_if<config::TcpAddress>(&options.address);
  const std::string authority =
      tcp == nullptr ? "localhost"
                     : HostAndPort(options.plaintext ? tcp->host : options.server_name, tcp->port);
  return Concat({options.plaintext ? "http://" : "https://", authority, kCreateToken.path});
}

}  // namespace

// One address of the centre.
struct CurlCentralCalls::Endpoint {
  Replica replica{};
  std::string address;          // an IP address; empty: the centre has a unix socket
  std::string name;             // what errors call the endpoint
  std::size_t running = 0;      // calls that run here
  std::size_t credentials = 0;  // the generation that its last call carried
  std::optional<TimePoint> passed_over_until;
  std::unique_ptr<loop::HttpClient> client;
};

// One call. It goes from address to address until a connection is found.
struct CurlCentralCalls::Attempt {
  CentralCall call;
  Done done;
  TimePoint begun;
  std::vector<Replica> tried = {};
};

CurlCentralCalls::CurlCentralCalls(const config::TokendUpstream& options, CentralCredentials credentials,
                                   loop::CurlLoop& loop, std::unique_ptr<loop::NameLookup> names)
    : options_(options),
      name_(config::ToString(options.address)),
      url_(UrlOf(options)),
      loop_(loop),
      files_(options, std::move(credentials)) {
  const auto* tcp = std::get_if<config::TcpAddress>(&options_.address);
  if (tcp == nullptr) {
    endpoints_.push_back(MakeEndpoint(""));
  } else if (loop::IsIpAddress(tcp->host)) {
    endpoints_.push_back(MakeEndpoint(tcp->host));
  } else {
    if (names == nullptr) names = std::make_unique<loop::SystemNameLookup>(loop);
    addresses_.emplace(tcp->host, std::move(names), loop,
                       [this](const std::vector<std::string>& found) { OnAddresses(found); });
  }
}

CurlCentralCalls::~CurlCentralCalls() = default;

void CurlCentralCalls::Call(CentralCall call, Done done) {
  if (stopped_) return Decline(std::move(done), "stopped");
  const auto sendable = [](const auto& field) { return IsMetadata(field.first, field.second); };
  if (call.message.size() > kMaxCentralMessage || !std::ranges::all_of(call.metadata, sendable)) {
    return Decline(std::move(done), "the call's metadata or message cannot be sent");
  }
  files_.RereadIfChanged(loop_.clock().Now());
  auto attempt = std::make_shared<Attempt>(Attempt{std::move(call), std::move(done), loop_.clock().Now()});
  if (const std::shared_ptr<Endpoint> endpoint = Choose(*attempt)) return Send(std::move(attempt), endpoint);
  addresses_->Refresh();
  if (addresses_->pending() && waiting_.size() < kMaxWaiting) {
    waiting_.push_back(std::move(attempt));
  } else {
    Decline(std::move(attempt->done), "its addresses are not known");
  }
}

void CurlCentralCalls::OnAddresses(const std::vector<std::string>& addresses) {
  if (!addresses.empty()) {
    Endpoints before = std::exchange(endpoints_, {});
    for (const std::string& address : addresses) {
      const auto same = [&](const auto& endpoint) { return endpoint->address == address; };
      const auto known = std::ranges::find_if(before, same);
      endpoints_.push_back(known != before.end() ? *known : MakeEndpoint(address));
      if (known != before.end()) before.erase(known);
    }
    std::erase_if(before, [](const auto& endpoint) { return endpoint->running == 0; });
    retired_.insert(retired_.end(), before.begin(), before.end());
  }
  for (std::shared_ptr<Attempt>& attempt : std::exchange(waiting_, {})) {
    if (attempt->call.send_by <= loop_.clock().Now()) {
      Decline(std::move(attempt->done), "its addresses were not known in time");
    } else if (const std::shared_ptr<Endpoint> endpoint = Choose(*attempt)) {
      Send(std::move(attempt), endpoint);
    } else {
      Decline(std::move(attempt->done), "its addresses are not known");
    }
  }
}

std::shared_ptr<CurlCentralCalls::Endpoint> CurlCentralCalls::MakeEndpoint(const std::string& address) {
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->replica = Replica{++last_replica_};
  endpoint->address = address;
  loop::HttpClientOptions http = HttpOptions(address);
  endpoint->name = http.server;
  endpoint->credentials = files_.generation();
  endpoint->client = loop_.NewHttpClient(std::move(http));
  return endpoint;
}

loop::HttpClientOptions CurlCentralCalls::HttpOptions(const std::string& address) {
  loop::HttpClientOptions http;
  http.ca_file = options_.tls.ca_file;
  // A CA is trusted only while the file holds it.
  http.ca_max_age = http.ca_file.empty() ? kSystemCaMaxAge : 0s;
  http.allow_http = options_.plaintext;
  http.server = name_;
  if (const auto* socket = std::get_if<config::UnixAddress>(&options_.address)) {
    http.unix_socket = socket->path;
  } else {
    const auto& tcp = std::get<config::TcpAddress>(options_.address);
    http.connect_to = HostAndPort(address, tcp.port);
    if (address != tcp.host) http.server += " at " + address;
  }
  http.only_http2 = true;
  http.identity = [this] { return files_.current().identity; };
  http.answer_fields = GrpcAnswerFields();
  http.max_header_size = kMaxHeader;
  http.connect_timeout = std::min(kConnectTimeout, options_.timeout);
  http.timeout = options_.timeout;
  http.connection_max_idle = kMaxIdle;
  http.connection_max_age = kMaxAge;
  http.max_response_size = kGrpcPrefixBytes + kMaxCentralMessage;
  // In plaintext each call has a connection of its own, and a request may make two calls at a time.
  http.max_connections = options_.plaintext ? 2 * options_.max_in_flight : options_.max_in_flight;
  return http;
}

std::shared_ptr<CurlCentralCalls::Endpoint> CurlCentralCalls::Choose(const Attempt& attempt) {
  const TimePoint now = loop_.clock().Now();
  std::shared_ptr<Endpoint> best;
  int best_rank = 0;
  std::size_t best_place = 0;
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    const std::size_t place = (next_ + i) % endpoints_.size();
    const std::shared_ptr<Endpoint>& endpoint = endpoints_[place];
    if (std::ranges::find(attempt.tried, endpoint->replica) != attempt.tried.end()) continue;
    const int rank =
        (endpoint->replica == attempt.call.avoid ? 2 : 0) + (endpoint->passed_over_until > now ? 1 : 0);
    if (best != nullptr && rank >= best_rank) continue;
    best = endpoint;
    best_rank = rank;
    best_place = place;
  }
  if (best != nullptr) next_ = best_place + 1;
  return best;
}

std::chrono::milliseconds CurlCentralCalls::TimeoutOf(const Attempt& attempt) const {
  const auto left = std::max<TimePoint::duration>(attempt.call.send_by - loop_.clock().Now(), kLeastTimeout);
  return std::min(options_.timeout, std::chrono::floor<std::chrono::milliseconds>(left));
}

void CurlCentralCalls::Send(std::shared_ptr<Attempt> attempt, const std::shared_ptr<Endpoint>& endpoint) {
  using Connection = loop::HttpPost::Connection;
  attempt->tried.push_back(endpoint->replica);
  loop::HttpPost post;
  post.url = url_;
  post.headers = Headers(attempt->call);
  post.body = FrameMessage(attempt->call.message);
  post.connection = attempt->call.connection;
  post.send_by = attempt->call.send_by;
  post.timeout = TimeoutOf(*attempt);
  post.sent = attempt->call.sent;
  // A connection that was made with earlier credentials carries no further call.
  if (std::exchange(endpoint->credentials, files_.generation()) != files_.generation()) {
    post.connection = Connection::kRenewed;
  }
  ++endpoint->running;
  endpoint->client->Post(std::move(post), [this, attempt, endpoint](loop::HttpAnswer answer) mutable {
    OnAnswer(std::move(attempt), endpoint, std::move(answer));
  });
}

void CurlCentralCalls::OnAnswer(std::shared_ptr<Attempt> attempt, const std::shared_ptr<Endpoint>& endpoint,
                                loop::HttpAnswer answer) {
  const TimePoint now = loop_.clock().Now();
  --endpoint->running;
  if (endpoint->running == 0 && std::erase(retired_, endpoint) > 0) {
    // The loop destroys the endpoint later, because its client still runs this function.
    loop_.Post([endpoint] {});
  }
  if (answer.connected) endpoint->passed_over_until.reset();
  if (answer.ending == loop::Ending::kBroken && !stopped_) {
    if (addresses_) addresses_->Refresh();
    if (!answer.connected) {
      endpoint->passed_over_until = now + kPassOver;
      const std::shared_ptr<Endpoint> other =
          now - attempt->begun < kConnectTimeout ? Choose(*attempt) : nullptr;
      if (other != nullptr) return Send(std::move(attempt), other);
    }
  }
  CentralAnswer result;
  result.sent = answer.sent;
  result.replica = endpoint->replica;
  result.connected = answer.connected;
  result.latency = std::chrono::duration_cast<std::chrono::microseconds>(now - attempt->begun);
  JudgeGrpcAnswer(answer, endpoint->name, result);
  attempt->done(std::move(result));
}

std::shared_ptr<const loop::HeaderList> CurlCentralCalls::Headers(const CentralCall& call) const {
  auto headers = std::make_shared<loop::HeaderList>();
  headers->Add("content-type", "application/grpc");
  headers->Add("te", "trailers");
  headers->Add("user-agent", "tokend/" TOKEND_VERSION);
  headers->Add("grpc-timeout", GrpcTimeout(options_.timeout));
  headers->Add("accept", "");  // otherwise libcurl adds one
  for (const auto& [name, value] : call.metadata) headers->Add(name, value);
  if (const std::shared_ptr<const Secret> token = files_.current().token; token && !options_.plaintext) {
    constexpr std::string_view kScheme = "Bearer ";
    Secret authorization;
    authorization.Reserve(kScheme.size() + token->size());
    authorization.Append(kScheme);
    authorization.Append(token->Expose());
    headers->Add("authorization", authorization.Expose());
  }
  return headers;
}

void CurlCentralCalls::Decline(Done done, std::string_view why) {
  CentralAnswer answer;
  answer.error = Concat({name_, ": ", why});
  loop_.Post([done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
}

void CurlCentralCalls::WipeCopies(std::string_view secret) { loop::WipeCopies(secret); }

void CurlCentralCalls::Stop() {
  stopped_ = true;
  addresses_.reset();
  for (const std::shared_ptr<Attempt>& attempt : std::exchange(waiting_, {})) {
    CentralAnswer answer;
    answer.error = name_ + ": stopped";
    attempt->done(std::move(answer));
  }
  for (const Endpoints& all : {endpoints_, retired_}) {
    for (const std::shared_ptr<Endpoint>& endpoint : all) endpoint->client->Stop();
  }
}

}  // namespace tokend::upstream
