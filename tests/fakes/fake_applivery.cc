#include "tests/fakes/fake_applivery.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "tests/fakes/applivery_api.h"
#include "tests/fakes/test_certificate.h"

namespace tokend::fakes {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBearerPrefix = "fake-bearer-";
constexpr std::size_t kBearerHex = 48;
constexpr std::size_t kIdHex = 24;
constexpr std::uint32_t kHttp2RefusedStream = 7;
constexpr std::uint32_t kHttp2Http11Required = 13;

bool IsObjectId(std::string_view text) {
  return text.size() == kIdHex && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  if (!file) throw std::runtime_error("cannot read " + path);
  return bytes.str();
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes << std::flush;
  if (!file) throw std::runtime_error("cannot write " + path);
}

bool IsJson(std::string_view content_type) {
  constexpr std::string_view kJson = "application/json";
  if (content_type.substr(0, kJson.size()) != kJson) return false;
  return content_type.size() == kJson.size() || content_type[kJson.size()] == ';';
}

std::string Replaced(std::string text, std::string_view name, const std::string& value) {
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + value.size())) {
    text.replace(at, name.size(), value);
  }
  return text;
}

std::string Filled(std::string text, const MintedToken& token, const std::string& authorization) {
  if (text.find('{') == std::string::npos) return text;
  text = Replaced(std::move(text), "{id}", token.id);
  text = Replaced(std::move(text), "{organization}", token.organization);
  text = Replaced(std::move(text), "{application}", token.application);
  text = Replaced(std::move(text), "{bearer}", token.bearer);
  text = Replaced(std::move(text), "{scopes}", JsonArray(token.scopes));
  text = Replaced(std::move(text), "{authorization}", JsonEscaped(authorization));
  return Replaced(std::move(text), "{description}", JsonEscaped(token.description));
}

bool Mints(const Fault& fault) {
  if (fault.minting) return *fault.minting;
  if (fault.answer) {
    return fault.answer->body.find("{id}") != std::string::npos ||
           fault.answer->body.find("{bearer}") != std::string::npos;
  }
  const bool unprocessed =
      fault.action == Action::kGoAwayBelow ||
      (fault.action == Action::kStreamReset &&
       (fault.http2_error == kHttp2RefusedStream || fault.http2_error == kHttp2Http11Required));
  return !unprocessed;
}

Reply ErrorReply(int status, int code) {
  return {.status = status, .headers = {{"content-type", "application/json"}}, .body = ErrorBody(code)};
}

}  // namespace

std::string ObjectIdOf(std::string_view name) {
  if (IsObjectId(name)) return std::string(name);
  // FNV-1a with 64 bits gives 16 digits. A second round gives the last 8.
  std::string id;
  for (const char salt : {'a', 'b'}) {
    std::uint64_t hash = 14695981039346656037U;
    hash = (hash ^ static_cast<unsigned char>(salt)) * 1099511628211U;
    for (const char byte : name) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211U;
    for (unsigned shift = 0; shift < 64; shift += 4) id += kHexDigits[(hash >> shift) & 0xFU];
  }
  return id.substr(0, kIdHex);
}

class FakeApplivery::Impl : public Handler {
 public:
  explicit Impl(FakeAppliveryOptions options)
      : delay_(options.delay),
        max_remembered_(options.max_remembered),
        max_requests_per_connection_(options.max_requests_per_connection),
        tls_(options.transport == Transport::kTls),
        api_keys_(std::move(options.api_keys)),
        random_(std::random_device{}()),
        server_(ServerOptions(options, ca_pem_), *this) {}

  void OnAccepted() override {
    const std::lock_guard lock(mutex_);
    counts_.connections++;
    counts_.open_connections++;
    changed_.notify_all();
  }

  void OnClosed() override {
    const std::lock_guard lock(mutex_);
    counts_.open_connections--;
    changed_.notify_all();
  }

  std::optional<Reply> OnHeader(Request& request) override {
    const std::lock_guard lock(mutex_);
    if (scripts_.empty() || request.method != "POST") return std::nullopt;
    const std::optional<TokensRoute> route = ParseTokensRoute(request.path);
    if (!route) return std::nullopt;
    request.fault = NextFault(route->application);
    if (request.fault == nullptr || !request.fault->early) return std::nullopt;
    counts_.unread_posts++;
    changed_.notify_all();
    MintedToken token = Describe(*route, {});
    if (request.fault->minting.value_or(false)) Remember(token);
    return MakeReply(*request.fault, ErrorReply(401, 4004), token, request);
  }

  Reply OnRequest(const Request& request) override {
    const std::optional<TokensRoute> route = ParseTokensRoute(request.path);
    const std::lock_guard lock(mutex_);
    const std::optional<std::size_t> key = KeyOf(request);
    if (!route || request.method != "POST") {
      counts_.stray_requests++;
      changed_.notify_all();
      return Unauthorized(request, key).value_or(ErrorReply(404, 3001));
    }
    const std::optional<TokenFields> fields =
        IsJson(request.content_type) ? parser_.Parse(request.body) : std::nullopt;
    Remember(request, *route, fields, key);

    std::optional<Reply> refusal = Unauthorized(request, key);
    if (!refusal && route->application == "missing") refusal = ErrorReply(404, 3001);
    if (!refusal && !fields) refusal = ErrorReply(400, 5014);
    const MintedToken token = Describe(*route, fields.value_or(TokenFields{}));
    if (!refusal && (request.fault == nullptr || Mints(*request.fault))) Remember(token);
    changed_.notify_all();

    if (request.fault != nullptr) return MakeReply(*request.fault, refusal, token, request);
    Reply reply = refusal ? std::move(*refusal) : Success(token);
    reply.delay = delay_;
    if (max_requests_per_connection_ > 0 && ++requests_[request.connection] >= max_requests_per_connection_) {
      reply.action = Action::kAnswerThenClose;
    }
    return reply;
  }

  HttpServer& server() { return server_; }
  bool tls() const { return tls_; }
  const std::string& ca_pem() const { return ca_pem_; }

  void Script(const std::string& application, std::vector<Fault> faults, ScriptEnd end) {
    const std::lock_guard lock(mutex_);
    ScriptState& script = scripts_[application];
    script.faults.clear();
    for (Fault& fault : faults) script.faults.push_back(std::make_shared<const Fault>(std::move(fault)));
    script.end = end;
  }

  void SetApiKeys(std::vector<std::string> api_keys) {
    const std::lock_guard lock(mutex_);
    api_keys_ = std::move(api_keys);
  }

  Counts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

  std::vector<Post> posts() const {
    const std::lock_guard lock(mutex_);
    return posts_;
  }

  std::vector<MintedToken> tokens() const {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }

  bool WaitUntil(const std::function<bool(const Counts&)>& holds, std::chrono::milliseconds timeout) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [&] { return holds(counts_); });
  }

 private:
  struct ScriptState {
    std::deque<std::shared_ptr<const Fault>> faults;
    ScriptEnd end = ScriptEnd::kOrdinary;
  };

  static HttpServerOptions ServerOptions(const FakeAppliveryOptions& options, std::string& ca_pem) {
    HttpServerOptions server;
    server.port = options.port;
    server.protocols = options.protocols;
    server.max_concurrent_streams = options.max_concurrent_streams;
    if (options.transport == Transport::kPlain) return server;
    if (!options.certificate_file.empty()) {
      server.certificate_pem = ReadFile(options.certificate_file);
      server.private_key_pem = ReadFile(options.private_key_file);
      return server;
    }
    TestCertificate certificate = MakeTestCertificate(options.certificate);
    if (!options.ca_file.empty()) WriteFile(options.ca_file, certificate.ca_pem);
    ca_pem = std::move(certificate.ca_pem);
    server.certificate_pem = std::move(certificate.certificate_pem);
    server.private_key_pem = std::move(certificate.private_key_pem);
    return server;
  }

  std::shared_ptr<const Fault> NextFault(const std::string& application) {
    const auto found = scripts_.find(application);
    if (found == scripts_.end() || found->second.faults.empty()) return nullptr;
    ScriptState& script = found->second;
    std::shared_ptr<const Fault> fault = script.faults.front();
    if (script.faults.size() > 1 || script.end == ScriptEnd::kOrdinary) script.faults.pop_front();
    return fault;
  }

  std::optional<std::size_t> KeyOf(const Request& request) const {
    constexpr std::string_view kScheme = "Bearer ";
    if (!request.authorization || request.authorization->rfind(kScheme, 0) != 0) return std::nullopt;
    const std::string_view key = std::string_view(*request.authorization).substr(kScheme.size());
    const auto found = std::find(api_keys_.begin(), api_keys_.end(), key);
    if (found == api_keys_.end()) return std::nullopt;
    return static_cast<std::size_t>(found - api_keys_.begin());
  }

  static std::optional<Reply> Unauthorized(const Request& request, std::optional<std::size_t> key) {
    if (key) return std::nullopt;
    return ErrorReply(401, request.authorization ? 4004 : 4002);
  }

  MintedToken Describe(const TokensRoute& route, const TokenFields& fields) {
    MintedToken token;
    token.id = RandomHex(kIdHex);
    token.bearer = std::string(kBearerPrefix) + RandomHex(kBearerHex);
    token.organization = ObjectIdOf(route.organization);
    token.application = ObjectIdOf(route.application);
    token.description = fields.description.value_or("");
    token.scopes = fields.scopes.value_or(std::vector<std::string>{});
    return token;
  }

  std::string RandomHex(std::size_t digits) {
    std::string hex;
    hex.reserve(digits);
    while (hex.size() < digits) {
      const std::uint64_t bits = random_();
      for (unsigned shift = 0; shift < 64 && hex.size() < digits; shift += 4) {
        hex += kHexDigits[(bits >> shift) & 0xFU];
      }
    }
    return hex;
  }

  void Remember(const Request& request, const TokensRoute& route, const std::optional<TokenFields>& fields,
                std::optional<std::size_t> key) {
    counts_.posts++;
    if (posts_.size() >= max_remembered_) return;
    posts_.push_back({.organization = route.organization,
                      .application = route.application,
                      .body = request.body,
                      .description = fields ? fields->description : std::nullopt,
                      .scopes = fields ? fields->scopes : std::nullopt,
                      .api_key = key,
                      .connection = request.connection,
                      .protocol = request.protocol,
                      .time = std::chrono::system_clock::now()});
  }

  void Remember(const MintedToken& token) {
    counts_.tokens++;
    if (tokens_.size() < max_remembered_) tokens_.push_back(token);
  }

  static Reply Success(const MintedToken& token) {
    return {.status = 200,
            .headers = {{"content-type", "application/json"}},
            .body = Filled(std::string(kSuccessBody), token, "")};
  }

  static Reply MakeReply(const Fault& fault, const std::optional<Reply>& refusal, const MintedToken& token,
                         const Request& request) {
    Reply reply;
    if (fault.answer) {
      const std::string authorization = request.authorization.value_or("");
      reply.status = fault.answer->status;
      reply.headers = fault.answer->headers;
      for (auto& [name, value] : reply.headers) value = Filled(std::move(value), token, authorization);
      reply.body = Filled(fault.answer->body, token, authorization);
    } else {
      reply = refusal ? *refusal : Success(token);
    }
    reply.action = fault.action;
    reply.delay = fault.delay;
    reply.http2_error = fault.http2_error;
    reply.reset_after_answer = fault.reset_after_answer;
    return reply;
  }

  const std::chrono::milliseconds delay_;
  const std::size_t max_remembered_;
  const std::size_t max_requests_per_connection_;
  const bool tls_;
  TokenFieldsParser parser_;  // used by the server's thread only
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<std::string> api_keys_;
  std::mt19937_64 random_;
  std::unordered_map<std::string, ScriptState> scripts_;
  Counts counts_;
  std::unordered_map<std::uint64_t, std::size_t> requests_;  // without a fault, by connection
  std::vector<Post> posts_;
  std::vector<MintedToken> tokens_;
  std::string ca_pem_;
  HttpServer server_;  // last, because its thread uses all members above
};

FakeApplivery::FakeApplivery(FakeAppliveryOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
FakeApplivery::~FakeApplivery() = default;

std::uint16_t FakeApplivery::port() const { return impl_->server().port(); }
std::string FakeApplivery::base_url() const {
  return std::string(impl_->tls() ? "https" : "http") + "://localhost:" + std::to_string(port());
}
const std::string& FakeApplivery::ca_pem() const { return impl_->ca_pem(); }

void FakeApplivery::Script(const std::string& application, std::vector<Fault> faults, ScriptEnd end) {
  impl_->Script(application, std::move(faults), end);
}
void FakeApplivery::SetApiKeys(std::vector<std::string> api_keys) { impl_->SetApiKeys(std::move(api_keys)); }
void FakeApplivery::SetConnectionFault(ConnectionFault fault) { impl_->server().SetConnectionFault(fault); }

void FakeApplivery::Stop() { impl_->server().Stop(); }
void FakeApplivery::Restart() { impl_->server().Start(); }
void FakeApplivery::StopListening() { impl_->server().StopListening(); }
void FakeApplivery::CloseConnections() { impl_->server().CloseConnections(); }

Counts FakeApplivery::counts() const { return impl_->counts(); }
std::vector<Post> FakeApplivery::posts() const { return impl_->posts(); }
std::vector<MintedToken> FakeApplivery::tokens() const { return impl_->tokens(); }
std::size_t FakeApplivery::peak_delayed() const { return impl_->server().peak_delayed(); }

bool FakeApplivery::WaitUntil(const std::function<bool(const Counts&)>& holds,
                              std::chrono::milliseconds timeout) const {
  return impl_->WaitUntil(holds, timeout);
}

bool FakeApplivery::WaitForPosts(std::size_t count, std::chrono::milliseconds timeout) const {
  return WaitUntil([count](const Counts& counts) { return counts.posts >= count; }, timeout);
}

}  // namespace tokend::fakes
