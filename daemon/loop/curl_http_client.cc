#include "daemon/loop/curl_http_client.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>
#include <new>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/failpoint.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/loop/curl_memory.h"

namespace tokend::loop {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxHeaderLines = 256;
constexpr std::size_t kMaxIdleHandles = 64;
constexpr std::size_t kStreamsPerConnection = 100;  // libcurl's CURLMOPT_MAX_CONCURRENT_STREAMS
constexpr std::size_t kMinHttp2Connections = 2;     // one may be draining after a GOAWAY

constexpr char kHeaderTooLarge[] = "Answer header too large";
constexpr unsigned char kOnlyHttp2[] = {2, 'h', '2'};  // in the form of ALPN: a length and the name

template <class Value>
void Set(CURL* handle, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(handle, option, value);
  if (code == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
  if (code != CURLE_OK) throw std::runtime_error("libcurl lacks an option that tokend relies on");
}

long AtLeastOneMs(milliseconds duration) {
  return static_cast<long>(std::max(duration, milliseconds(1)).count());
}

// Libcurl compares whole seconds of idling and reuses at up to a second more than it is told.
void SetMaxIdle(CURL* handle, milliseconds max_idle) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(max_idle).count();
  if (seconds < 1) {
    Set(handle, CURLOPT_FORBID_REUSE, 1L);
  } else {
    Set(handle, CURLOPT_MAXAGE_CONN, static_cast<long>(seconds - 1));
  }
}

void SetSecurity(CURL* handle, const HttpClientOptions& options) {
  Set(handle, CURLOPT_PROTOCOLS_STR, options.allow_http ? "https,http" : "https");
  Set(handle, CURLOPT_FOLLOWLOCATION, 0L);
  Set(handle, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  // An empty text means no proxy. With null, libcurl would read http_proxy, https_proxy, all_proxy and
  // no_proxy from the environment.
  Set(handle, CURLOPT_PROXY, options.proxy.c_str());
  Set(handle, CURLOPT_NOPROXY, "");
  // By CONNECT also to http:// servers. Neither the request's headers go to the proxy nor the proxy's headers
  // to the request's answer.
  Set(handle, CURLOPT_HTTPPROXYTUNNEL, 1L);
  Set(handle, CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));
  Set(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  Set(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  Set(handle, CURLOPT_SSL_VERIFYPEER, 1L);
  Set(handle, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options.ca_file.empty()) {
    Set(handle, CURLOPT_CAINFO, options.ca_file.c_str());
    // Otherwise the system's CAs would count as well.
    Set(handle, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  // Libcurl's default is a day.
  Set(handle, CURLOPT_CA_CACHE_TIMEOUT, static_cast<long>(options.ca_max_age.count()));
}

bool HasOwnConnections(const HttpClientOptions& options) { return options.only_http2 && options.allow_http; }

void SetVersion(CURL* handle, const HttpClientOptions& options) {
  Set(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  // A resumed session would show the certificate with which it began.
  if (options.identity) Set(handle, CURLOPT_SSL_SESSIONID_CACHE, 0L);
  // With a Content-Length, libcurl would not wait for the trailer.
  if (options.only_http2) Set(handle, CURLOPT_IGNORE_CONTENT_LENGTH, 1L);
  if (!HasOwnConnections(options)) return;
  Set(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
  Set(handle, CURLOPT_FRESH_CONNECT, 1L);
  Set(handle, CURLOPT_FORBID_REUSE, 1L);
}

void SetTransport(CURL* handle, const HttpClientOptions& options) {
  Set(handle, CURLOPT_NOSIGNAL, 1L);
  // Without it a transfer that ends while its name resolves waits, on the loop thread, for getaddrinfo.
  Set(handle, CURLOPT_QUICK_EXIT, 1L);
  SetVersion(handle, options);
  if (!options.unix_socket.empty()) Set(handle, CURLOPT_UNIX_SOCKET_PATH, options.unix_socket.c_str());
  Set(handle, CURLOPT_TCP_KEEPALIVE, 1L);
  Set(handle, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
  Set(handle, CURLOPT_CONNECTTIMEOUT_MS, AtLeastOneMs(options.connect_timeout));
  Set(handle, CURLOPT_TIMEOUT_MS, AtLeastOneMs(options.timeout));
  SetMaxIdle(handle, options.connection_max_idle);
}

// The TLS session of the transfer's connection. Null without TLS, and once libcurl has ended the transfer.
SSL* TlsOf(CURL* handle) {
  curl_tlssessioninfo* tls = nullptr;
  curl_easy_getinfo(handle, CURLINFO_TLS_SSL_PTR, &tls);
  if (tls == nullptr || tls->backend != CURLSSLBACKEND_OPENSSL) return nullptr;
  return static_cast<SSL*>(tls->internals);
}

bool SpeaksHttp2(const SSL* tls) {
  if (tls == nullptr) return false;
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(tls, &name, &size);
  return size == 2 && std::memcmp(name, "h2", 2) == 0;
}

// Libcurl has OpenSSL free its buffers of 16 KiB after each record. A connection of HTTP/2 has records all
// the time, and there are few of them.
void KeepBuffers(SSL* tls) {
  if (SpeaksHttp2(tls)) SSL_clear_mode(tls, SSL_MODE_RELEASE_BUFFERS);
}

// Of a URL that libcurl has read.
struct Server {
  std::string host;  // an IPv6 address without brackets
  std::string port;
};

Server ServerOf(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  if (parsed == nullptr) throw std::bad_alloc();
  curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0);
  const auto part = [&](CURLUPart which) {
    char* text = nullptr;
    curl_url_get(parsed.get(), which, &text, CURLU_DEFAULT_PORT);
    std::string copy = text != nullptr ? text : "";
    curl_free(text);
    return copy;
  };
  Server server{part(CURLUPART_HOST), part(CURLUPART_PORT)};
  if (server.host.starts_with('[')) server.host = server.host.substr(1, server.host.size() - 2);
  return server;
}

std::string HostAndPortOf(const std::string& url) {
  const Server server = ServerOf(url);
  const bool ipv6 = server.host.find(':') != std::string::npos;
  return ipv6 ? absl::StrCat("[", server.host, "]:", server.port)
              : absl::StrCat(server.host, ":", server.port);
}

// Has OpenSSL compare the server's certificate with the host's name. Libcurl compares them too, but it takes
// the subject's common name where the certificate has no subject alternative name.
bool VerifyHost(SSL_CTX* context, const std::string& host) {
  X509_VERIFY_PARAM* const verification = SSL_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_hostflags(verification,
                                  X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_ip_asc(verification, host.c_str()) == 1 ||
         X509_VERIFY_PARAM_set1_host(verification, host.data(), host.size()) == 1;
}

// Why a transfer failed, in fixed words.
std::string WhyItFailed(CURL* handle, CURLcode code, const std::string& proxy) {
  long verified = X509_V_OK;
  if (code == CURLE_PEER_FAILED_VERIFICATION &&
      curl_easy_getinfo(handle, CURLINFO_SSL_VERIFYRESULT, &verified) == CURLE_OK && verified != X509_V_OK) {
    return absl::StrCat("its certificate was refused: ", X509_verify_cert_error_string(verified));
  }
  long connect_status = 0;
  curl_easy_getinfo(handle, CURLINFO_HTTP_CONNECTCODE, &connect_status);
  if (!proxy.empty() && connect_status >= 300) {
    return absl::StrCat("the proxy answered CONNECT with ", connect_status);
  }
  long system_error = 0;
  curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &system_error);
  const char* const words = code == CURLE_COULDNT_CONNECT && system_error != 0
                                ? strerrordesc_np(static_cast<int>(system_error))
                                : nullptr;
  return words == nullptr ? curl_easy_strerror(code)
                          : absl::StrCat(curl_easy_strerror(code), " (", words, ")");
}

bool HasEncodedBody(CURL* handle) {
  curl_header* header = nullptr;
  for (std::size_t i = 0;
       curl_easy_header(handle, "Content-Encoding", i, CURLH_HEADER, -1, &header) == CURLHE_OK; ++i) {
    const absl::string_view coding = absl::StripAsciiWhitespace(header->value);
    if (!coding.empty() && !absl::EqualsIgnoreCase(coding, "identity")) return true;
  }
  return false;
}

}  // namespace

// An easy handle with one request at a time, of one client.
class CurlExchange final : public CurlTransfer {
 public:
  explicit CurlExchange(CurlHttpClient& client) : client_(client), handle_(curl_easy_init()) {
    if (handle_ == nullptr) throw std::bad_alloc();
    SetSecurity(handle_, client.options_);
    SetTransport(handle_, client.options_);
    SetAddress(client.options_.connect_to);
    Set(handle_, CURLOPT_PRIVATE, static_cast<void*>(static_cast<CurlTransfer*>(this)));
    Set(handle_, CURLOPT_SSL_CTX_FUNCTION, &CurlExchange::OnTls);
    Set(handle_, CURLOPT_SSL_CTX_DATA, static_cast<void*>(this));
    Set(handle_, CURLOPT_SOCKOPTFUNCTION, &CurlExchange::OnOpened);
    Set(handle_, CURLOPT_CLOSESOCKETFUNCTION, &CurlExchange::OnClosed);
    Set(handle_, CURLOPT_PREREQFUNCTION, &CurlExchange::OnConnection);
    Set(handle_, CURLOPT_PREREQDATA, static_cast<void*>(this));
    // Neither POSTFIELDS nor a seek function: with either, libcurl sends a POST again by itself when a reused
    // connection drops without an answer, and the server makes a second token.
    Set(handle_, CURLOPT_READFUNCTION, &CurlExchange::OnRead);
    Set(handle_, CURLOPT_READDATA, static_cast<void*>(this));
    Set(handle_, CURLOPT_HEADERFUNCTION, &CurlExchange::OnHeader);
    Set(handle_, CURLOPT_HEADERDATA, static_cast<void*>(this));
    Set(handle_, CURLOPT_WRITEFUNCTION, &CurlExchange::OnWrite);
    Set(handle_, CURLOPT_WRITEDATA, static_cast<void*>(this));
  }
  ~CurlExchange() {
    SetLocalPort(std::nullopt);
    curl_easy_cleanup(handle_);
    curl_slist_free_all(connect_to_);
  }
  CurlExchange(const CurlExchange&) = delete;
  CurlExchange& operator=(const CurlExchange&) = delete;

  void Start(HttpPost request, HttpClient::Done done) {
    request_ = std::move(request);
    done_ = std::move(done);
    started_ = client_.loop_.clock().Now();
    body_sent_ = header_bytes_ = header_lines_ = 0;
    header_too_large_ = body_too_large_ = in_trailer_ = false;
    fields_.clear();
    Set(handle_, CURLOPT_URL, request_.url.c_str());
    Set(handle_, CURLOPT_HTTPHEADER, request_.headers ? request_.headers->get() : nullptr);
    Set(handle_, request_.body.empty() ? CURLOPT_HTTPGET : CURLOPT_POST, 1L);
    Set(handle_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    Enter();
  }

  // Moves the request to the client's pool, if it has no connection yet.
  void Follow() {
    if (pool_ == nullptr || local_port_.has_value() || body_sent_ > 0) return;
    client_.loop_.Remove(handle_);
    Leave();
    Enter();
  }

  void Stop() {
    client_.loop_.Remove(handle_);
    Leave();
    Answer(Ending::kStopped, "Stopped");
  }

  void Finish(CURLcode code) override {
    const std::shared_ptr<ConnectionPool> pool = pool_;
    if (code != CURLE_OK && header_bytes_ == 0) refused_ = pool->tls_refusals().WhyRefused(tls_);
    Leave();
    if (code != CURLE_OK && local_port_.has_value() && header_bytes_ == 0) {
      client_.Abandon(pool, *local_port_);
    }
    if (turned_away_ && body_sent_ == 0) return Enter();
    if (code == CURLE_OK) return Answer(Ending::kComplete, "");
    if (body_too_large_) return Answer(Ending::kTooLarge, "Answer body too large");
    if (header_too_large_) return Answer(Ending::kBroken, kHeaderTooLarge);
    std::string why = WhyItFailed(handle_, code, client_.options_.proxy);
    if (speaks_otherwise_) why = "it does not speak HTTP/2";
    if (is_late_) why = "there was no connection in time";
    if (refused_ != nullptr) why = absl::StrCat("it refuses the client's certificate: ", refused_);
    Answer(Ending::kBroken, absl::StrCat(Where(), ": ", why));
  }

  // Whether libcurl has ended the request, on this connection and without one byte of answer. Libcurl gives
  // the connection to a waiting request before it says so by Finish.
  bool HasFailedOn(const ConnectionPool* pool, int local_port) const {
    return pool_.get() == pool && local_port_ == local_port && header_bytes_ == 0 &&
           TlsOf(handle_) == nullptr;
  }

  // Says how a request that has no connection yet gets one. PIPEWAIT waits for a connection that is being
  // made, to share it. Where none can be shared, connections would only be made one after another.
  void Expect(CurlHttpClient::Protocol protocol) {
    Set(handle_, CURLOPT_PIPEWAIT, protocol == CurlHttpClient::Protocol::kHttp2 ? 1L : 0L);
  }

 private:
  void SetAddress(const std::string& connect_to) {
    if (connect_to.empty()) return;
    connect_to_ = curl_slist_append(nullptr, absl::StrCat("::", connect_to).c_str());
    if (connect_to_ == nullptr) throw std::bad_alloc();
    Set(handle_, CURLOPT_CONNECT_TO, connect_to_);
  }

  std::string Where() const {
    const HttpClientOptions& options = client_.options_;
    if (!options.server.empty()) return options.server;
    std::string where = HostAndPortOf(request_.url);
    if (!options.proxy.empty()) absl::StrAppend(&where, " by the proxy ", HostAndPortOf(options.proxy));
    return where;
  }

  // Gives the request to libcurl, for a connection of the client's pool.
  void Enter() {
    SetLocalPort(std::nullopt);
    speaks_otherwise_ = false;
    tls_ = nullptr;
    refused_ = nullptr;
    turned_away_ = is_late_ = false;
    pool_ = client_.pool_;
    Set(handle_, CURLOPT_SHARE, pool_->share());
    Set(handle_, CURLOPT_SOCKOPTDATA, static_cast<void*>(pool_.get()));
    Set(handle_, CURLOPT_CLOSESOCKETDATA, static_cast<void*>(pool_.get()));
    const auto spent = std::chrono::floor<milliseconds>(client_.loop_.clock().Now() - started_);
    const milliseconds longest = request_.timeout.count() > 0 ? request_.timeout : client_.options_.timeout;
    Set(handle_, CURLOPT_TIMEOUT_MS, AtLeastOneMs(longest - spent));
    Expect(client_.protocol_);
    client_.loop_.Add(handle_);
  }

  // Libcurl has given the request back.
  void Leave() {
    curl_easy_setopt(handle_, CURLOPT_SHARE, nullptr);
    pool_.reset();
  }

  void SetLocalPort(std::optional<int> local_port) {
    auto& by_port = client_.by_port_;
    if (local_port_) {
      const auto old = by_port.find(*local_port_);
      old->second.erase(this);
      if (old->second.empty()) by_port.erase(old);
    }
    local_port_ = local_port;
    if (local_port_) by_port[*local_port_].insert(this);
  }

  static int OnOpened(void* pool, curl_socket_t socket, curlsocktype) {
    static_cast<ConnectionPool*>(pool)->Opened(socket);
    return CURL_SOCKOPT_OK;
  }

  static int OnClosed(void* pool, curl_socket_t socket) {
    static_cast<ConnectionPool*>(pool)->Closed(socket);
    return close(socket);
  }

  // A request without a body has no second piece to wait for.
  void HoldBack(CurlLoop::Piece piece) {
    if (request_.body.empty()) return;
    const int socket = pool_->SocketOf(*local_port_);
    if (socket >= 0) client_.loop_.HoldBack(socket, piece);
  }

  // A TLS handshake is about to begin.
  static CURLcode OnTls(CURL*, void* context, void* self) {
    const auto& exchange = *static_cast<CurlExchange*>(self);
    const HttpClientOptions& options = exchange.client_.options_;
    auto* const tls = static_cast<SSL_CTX*>(context);
    SSL_CTX_set_options(tls, SSL_OP_CLEANSE_PLAINTEXT);
    if (!VerifyHost(tls, ServerOf(exchange.request_.url).host)) return CURLE_SSL_CONNECT_ERROR;
    if (options.only_http2 && SSL_CTX_set_alpn_protos(tls, kOnlyHttp2, sizeof(kOnlyHttp2)) != 0) {
      return CURLE_SSL_CONNECT_ERROR;
    }
    if (options.identity) exchange.pool_->tls_refusals().Observe(tls);
    const std::shared_ptr<const TlsIdentity> identity = options.identity ? options.identity() : nullptr;
    return identity == nullptr || identity->Use(tls) ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
  }

  // The request has a connection, and nothing of it is sent. It may have waited for this connection since
  // before the connection had its last request or failed.
  static int OnConnection(void* self, char*, char*, int, int local_port) {
    auto& exchange = *static_cast<CurlExchange*>(self);
    const HttpClientOptions& options = exchange.client_.options_;
    const bool has_own = HasOwnConnections(options);
    SSL* const tls = TlsOf(exchange.handle_);
    exchange.speaks_otherwise_ = options.only_http2 && !has_own && !SpeaksHttp2(tls);
    if (exchange.speaks_otherwise_) return CURL_PREREQFUNC_ABORT;
    exchange.tls_ = tls;
    KeepBuffers(tls);
    exchange.is_late_ = exchange.client_.loop_.clock().Now() >= exchange.request_.send_by;
    if (exchange.is_late_) return CURL_PREREQFUNC_ABORT;
    ConnectionPool* const pool = exchange.pool_.get();
    exchange.turned_away_ =
        !has_own && (exchange.client_.HasFailed(pool, local_port) || !pool->Take(local_port));
    exchange.SetLocalPort(local_port);
    if (!exchange.turned_away_) exchange.HoldBack(CurlLoop::Piece::kHeader);
    return exchange.turned_away_ ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
  }

  static std::size_t OnRead(char* to, std::size_t size, std::size_t count, void* self) {
    auto& exchange = *static_cast<CurlExchange*>(self);
    const std::string& body = exchange.request_.body;
    // Libcurl asks for more than there is: it is about to send the whole body again.
    if (exchange.body_sent_ == body.size()) return CURL_READFUNC_ABORT;
    if (exchange.body_sent_ == 0) {
      using Protocol = CurlHttpClient::Protocol;
      exchange.client_.SetProtocol(SpeaksHttp2(TlsOf(exchange.handle_)) ? Protocol::kHttp2
                                                                        : Protocol::kHttp1);
      if (exchange.request_.sent != nullptr) *exchange.request_.sent = Sent::kYes;
      exchange.HoldBack(CurlLoop::Piece::kBody);
    }
    TOKEND_FAILPOINT("post.body", "");
    const std::size_t piece = body.copy(to, size * count, exchange.body_sent_);
    exchange.body_sent_ += piece;
    return piece;
  }

  static std::size_t OnHeader(char* bytes, std::size_t size, std::size_t count, void* self) {
    auto& exchange = *static_cast<CurlExchange*>(self);
    TOKEND_FAILPOINT("post.answering", "");
    exchange.header_bytes_ += size * count;
    exchange.header_lines_ += 1;
    exchange.header_too_large_ = exchange.header_bytes_ > exchange.client_.options_.max_header_size ||
                                 exchange.header_lines_ > kMaxHeaderLines;
    if (exchange.header_too_large_) return 0;
    exchange.Read({bytes, size * count});
    return size * count;
  }

  // Keeps the line if it is a field that the options name. libcurl 7.88 reports a trailer of HTTP/2 as a
  // header, so a field belongs to the trailer if it comes after the end of the header.
  void Read(std::string_view line) {
    if (line.starts_with("HTTP/")) {
      in_trailer_ = false;
      fields_.clear();
    }
    if (line == "\r\n") in_trailer_ = true;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    for (const std::string& name : client_.options_.answer_fields) {
      if (!absl::EqualsIgnoreCase({line.data(), colon}, name)) continue;
      const std::string_view value = line.substr(colon + 1);
      fields_.push_back(
          {name, std::string(absl::StripAsciiWhitespace({value.data(), value.size()})), in_trailer_});
    }
  }

  static std::size_t OnWrite(char* bytes, std::size_t size, std::size_t count, void* self) {
    auto& exchange = *static_cast<CurlExchange*>(self);
    const std::string_view piece(bytes, size * count);
    const std::string_view fitting =
        piece.substr(0, exchange.client_.options_.max_response_size - exchange.body_.size());
    exchange.body_.Append(fitting);
    exchange.body_too_large_ = fitting.size() < piece.size();
    return fitting.size();
  }

  void Answer(Ending ending, std::string error) {
    HttpAnswer answer;
    answer.sent = body_sent_ > 0 && refused_ == nullptr ? Sent::kYes : Sent::kNo;
    answer.connected = (local_port_.has_value() || is_late_) && refused_ == nullptr;
    answer.ending = ending;
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    const bool interim = status < 200;
    if (!interim) answer.status = static_cast<int>(status);
    curl_off_t retry_after = 0;
    curl_easy_getinfo(handle_, CURLINFO_RETRY_AFTER, &retry_after);
    if (!interim && retry_after > 0) answer.retry_after = std::chrono::seconds(retry_after);
    answer.body = std::move(body_);
    answer.encoded = HasEncodedBody(handle_);
    if (ending == Ending::kComplete) answer.fields = std::move(fields_);
    answer.error = std::move(error);
    answer.latency =
        std::chrono::duration_cast<std::chrono::microseconds>(client_.loop_.clock().Now() - started_);

    curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, nullptr);
    request_ = {};
    HttpClient::Done done = std::exchange(done_, nullptr);
    client_.Release(this, ending);
    done(std::move(answer));
  }

  CurlHttpClient& client_;
  std::shared_ptr<ConnectionPool> pool_;  // while libcurl has the request
  CURL* handle_;
  curl_slist* connect_to_ = nullptr;
  HttpPost request_;
  HttpClient::Done done_;
  std::chrono::steady_clock::time_point started_;
  std::optional<int> local_port_;  // of its connection, once it has one; SetLocalPort sets it
  const SSL* tls_ = nullptr;       // the connection's session, only to compare: it may have ended
  const char* refused_ = nullptr;  // why the server refuses the client's certificate
  bool is_late_ = false;           // there was no connection before request_.send_by
  bool turned_away_ = false;       // from a connection that carries no further request
  bool speaks_otherwise_ = false;  // the connection agreed to another protocol than HTTP/2 alone
  std::size_t body_sent_ = 0;
  std::size_t header_bytes_ = 0;
  std::size_t header_lines_ = 0;
  bool header_too_large_ = false;
  bool body_too_large_ = false;
  bool in_trailer_ = false;  // the header has ended
  std::vector<AnswerField> fields_;
  Secret body_;
};

CurlHttpClient::CurlHttpClient(CurlLoop& loop, HttpClientOptions options)
    : loop_(loop), options_(std::move(options)) {
  // A libcurl that lacks an option fails here, at the start.
  idle_.push_back(std::make_unique<CurlExchange>(*this));
  SetProtocol(protocol_);
}

CurlHttpClient::~CurlHttpClient() {
  Stop();
  loop_.SetHostConnections(this, 0);
}

void CurlHttpClient::Post(HttpPost request, Done done) {
  if (!stopped_ && (request.body.empty() || request.body.size() > kMaxRequestBody)) {
    return Decline(std::move(done), Ending::kBroken, "Request body empty or too large");
  }
  Begin(std::move(request), std::move(done));
}

void CurlHttpClient::Get(HttpGet request, Done done) {
  HttpPost get;
  get.url = std::move(request.url);
  get.headers = std::move(request.headers);
  Begin(std::move(get), std::move(done));
}

void CurlHttpClient::Begin(HttpPost request, Done done) {
  if (stopped_) return Decline(std::move(done), Ending::kStopped, "Stopped");
  if (request.url.starts_with("http:")) SetProtocol(Protocol::kHttp1);
  if (pool_ == nullptr || NeedsNewPool(request.connection)) RenewPool();
  std::unique_ptr<CurlExchange> exchange;
  if (idle_.empty()) {
    exchange = std::make_unique<CurlExchange>(*this);
  } else {
    exchange = std::move(idle_.back());
    idle_.pop_back();
  }
  CurlExchange& started = *exchange;
  running_.emplace(&started, std::move(exchange));
  started.Start(std::move(request), std::move(done));
}

bool CurlHttpClient::NeedsNewPool(HttpPost::Connection connection) const {
  using Connection = HttpPost::Connection;
  const auto now = loop_.clock().Now();
  if (pool_->TooOld(now)) return true;
  if (connection == Connection::kAny || HasOwnConnections(options_)) return false;
  // Requests that each wanted a pool of their own would end each other's handshakes.
  return connection == Connection::kRenewed || !pool_->IsNew(now, options_.connect_timeout / 2);
}

void CurlHttpClient::RenewPool() {
  const ConnectionPool::Bounds bounds{options_.connection_max_requests, options_.connection_max_age};
  pool_ = std::make_shared<ConnectionPool>(bounds, loop_.clock().Now());
  for (const auto& [exchange, owned] : running_) exchange->Follow();
}

void CurlHttpClient::Abandon(const std::shared_ptr<ConnectionPool>& pool, int local_port) {
  // Libcurl has closed it, and the other connections of the pool stay in use.
  if (protocol_ == Protocol::kHttp1) return pool->Forget(local_port);
  pool->Spoil(local_port);
  if (pool_ == pool) RenewPool();
}

bool CurlHttpClient::HasFailed(const ConnectionPool* pool, int local_port) const {
  const auto found = by_port_.find(local_port);
  return found != by_port_.end() && std::ranges::any_of(found->second, [&](const CurlExchange* exchange) {
           return exchange->HasFailedOn(pool, local_port);
         });
}

void CurlHttpClient::WipeCopies(std::string_view secret) { loop::WipeCopies(secret); }

void CurlHttpClient::DropIdleHandles() { idle_.clear(); }

void CurlHttpClient::Stop() {
  stopped_ = true;
  while (!running_.empty()) running_.begin()->first->Stop();
}

// HTTP/1.1 needs a connection for each request under way. HTTP/2 does not, yet libcurl opens nearly as many
// where it may. Until the first connection shows what the server speaks, the other requests wait for it.
void CurlHttpClient::SetProtocol(Protocol protocol) {
  std::size_t connections = options_.max_connections;
  if (protocol == Protocol::kHttp2) {
    const std::size_t full = (connections + kStreamsPerConnection - 1) / kStreamsPerConnection;
    connections = std::min(connections, std::max(full, kMinHttp2Connections));
  }
  loop_.SetHostConnections(this, std::max<std::size_t>(connections, 1));
  if (std::exchange(protocol_, protocol) == protocol) return;
  for (const auto& [exchange, owned] : running_) exchange->Expect(protocol);
}

// Only a handle whose transfer completed is used again: another may still be about to send its body again.
void CurlHttpClient::Release(CurlExchange* exchange, Ending ending) {
  auto released = running_.extract(exchange);
  assert(!released.empty());
  if (ending == Ending::kComplete && idle_.size() < kMaxIdleHandles)
    idle_.push_back(std::move(released.mapped()));
}

void CurlHttpClient::Decline(Done done, Ending ending, const char* error) {
  HttpAnswer answer;
  answer.ending = ending;
  answer.error = error;
  loop_.Post([done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
}

}  // namespace tokend::loop
