#include "daemon/telemetry/admin.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/sha256.h"
#include "daemon/base/tcp_listener.h"
#include "daemon/telemetry/status_json.h"
#include "daemon/telemetry/status_page.h"

namespace tokend::telemetry {

struct AdminServer::Response {
  unsigned status;
  std::string_view content_type;
  std::string body;
};

namespace {

// What one client or all clients together may use.
constexpr unsigned kMaxConnections = 256;
constexpr unsigned kTimeoutSeconds = 5;
constexpr std::size_t kConnectionBytes =
    std::size_t{16} * 1024;  // for a request's head and a part of the answer

constexpr std::string_view kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kHtml = "text/html; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kPrometheus = "text/plain; version=0.0.4; charset=utf-8";

constexpr std::pair<const char*, const char*> kHeaders[] = {
    {"Connection", "close"},
    {"Cache-Control", "no-store"},
    {"Referrer-Policy", "no-referrer"},
    {"X-Content-Type-Options", "nosniff"},
};

std::string Words(const Status& status) {
  return status.ok() ? "ok" : std::string(status.message().data(), status.message().size());
}

std::string HashSource(std::string_view text) {
  const Sha256Digest digest = Sha256(text);
  return absl::StrCat("'sha256-",
                      absl::Base64Escape({reinterpret_cast<const char*>(digest.data()), digest.size()}), "'");
}

// A browser runs and shows only what belongs to the status page, and asks only this server.
const std::string& ContentSecurityPolicy() {
  static const std::string policy = absl::StrCat(
      "default-src 'none'; script-src ", HashSource(page::script), "; style-src ", HashSource(page::style),
      "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
      "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'");
  return policy;
}

// Leaves escapes in paths as they are: no path of ours has one, and a decoded %00 would cut a path short.
std::size_t KeepEscapes(void* /*unused*/, MHD_Connection* /*connection*/, char* path) {
  return std::string_view(path).size();
}

bool IsLoopback(const sockaddr* address) {
  constexpr std::uint32_t kLoopbackNetwork = 127;
  if (address == nullptr) return false;
  if (address->sa_family == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr) >> 24U == kLoopbackNetwork;
  }
  if (address->sa_family != AF_INET6) return false;
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == kLoopbackNetwork);
}

// Whether the host is "localhost", an address of 127.0.0.0/8 or "[::1]", with or without a port.
bool IsLoopbackHost(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
    const std::string_view port = host.substr(colon + 1);
    if (port.find_first_not_of("0123456789") != std::string_view::npos) return false;
    host = host.substr(0, colon);
  }
  if (host == "localhost" || host == "[::1]") return true;
  in_addr address{};
  return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 && ntohl(address.s_addr) >> 24U == 127U;
}

// Whether a browser shows the path, so that other sites must not read it: their names may lead to this
// address, too (DNS rebinding).
bool IsPage(std::string_view path) { return path == "/" || path == "/status.json"; }

bool MayShow(MHD_Connection* connection, std::string_view path) {
  const MHD_ConnectionInfo* const peer =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (!IsPage(path) || (peer != nullptr && !IsLoopback(peer->client_addr))) return true;
  const char* const host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
  return host != nullptr && IsLoopbackHost(host);
}

MHD_Result Send(MHD_Connection* connection, unsigned status, std::string_view content_type,
                std::string body) {
  MHD_Response* const response =
      MHD_create_response_from_buffer(body.size(), body.data(), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, std::string(content_type).c_str());
  for (const auto& [name, value] : kHeaders) MHD_add_response_header(response, name, value);
  MHD_add_response_header(response, "Content-Security-Policy", ContentSecurityPolicy().c_str());
  if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  const MHD_Result queued = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return queued;
}

}  // namespace

AdminServer::AdminServer(AdminOptions options, const Metrics& metrics)
    : options_(std::move(options)), metrics_(metrics) {}

Result<std::unique_ptr<AdminServer>> AdminServer::Start(AdminOptions options, const Metrics& metrics) {
  Result<TcpListeners> found = ListenTcp(options.address.host, options.address.port);
  if (!found.ok()) {
    return Status(found.status().code(),
                  absl::StrCat("admin.address ", HostAndPort(options.address.host, options.address.port),
                               ": ", found.status().message()));
  }
  std::unique_ptr<AdminServer> server(new AdminServer(std::move(options), metrics));
  server->port_ = found->listening.front().port;
  for (TcpListener& listener : found->listening) {
    if (Status status = server->AnswerOn(std::move(listener)); !status.ok()) return status;
  }
  return server;
}

Status AdminServer::AnswerOn(TcpListener listener) {
  const auto answer = [](void* self, MHD_Connection* connection, const char* path, const char* method,
                         const char* /*version*/, const char* /*upload*/, std::size_t* /*upload_size*/,
                         void** /*state*/) {
    return static_cast<const AdminServer*>(self)->OnRequest(connection, path, method) ? MHD_YES : MHD_NO;
  };
  MHD_Daemon* const server = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD, 0, nullptr, nullptr, answer, this, MHD_OPTION_LISTEN_SOCKET,
      listener.socket.get(), MHD_OPTION_CONNECTION_LIMIT, kMaxConnections, MHD_OPTION_CONNECTION_TIMEOUT,
      kTimeoutSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytes, MHD_OPTION_UNESCAPE_CALLBACK,
      &KeepEscapes, nullptr, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
  if (server == nullptr) {
    return absl::ResourceExhaustedError(
        "admin.address: the system allows no further thread or descriptor for the admin page");
  }
  listener.socket.Release();  // the HTTP server owns it now
  servers_.push_back(server);
  addresses_.push_back(std::move(listener.address));
  return absl::OkStatus();
}

AdminServer::~AdminServer() {
  for (MHD_Daemon* const server : servers_) MHD_stop_daemon(server);
}

bool AdminServer::OnRequest(MHD_Connection* connection, std::string_view path,
                            std::string_view method) const {
  Response response{MHD_HTTP_METHOD_NOT_ALLOWED, kPlain, "method not allowed\n"};
  if (!MayShow(connection, path)) {
    response = {MHD_HTTP_FORBIDDEN, kPlain, "open this page under a loopback name, such as localhost\n"};
  } else if (method == MHD_HTTP_METHOD_GET || method == MHD_HTTP_METHOD_HEAD) {
    response = Answer(path);
  }
  return Send(connection, response.status, response.content_type, std::move(response.body)) == MHD_YES;
}

AdminServer::Response AdminServer::Answer(std::string_view path) const {
  if (path == "/livez") return {MHD_HTTP_OK, kPlain, "ok\n"};
  if (path == "/readyz") return Readiness();
  if (path == "/metrics") {
    options_.refresh_metrics();
    return {MHD_HTTP_OK, kPrometheus, metrics_.Text()};
  }
  if (path == "/") return {MHD_HTTP_OK, kHtml, std::string(page::html)};
  if (path == "/status.json") return {MHD_HTTP_OK, kJson, StatusJson()};
  return {MHD_HTTP_NOT_FOUND, kPlain, "not found\n"};
}

AdminServer::Response AdminServer::Readiness() const {
  Response response{MHD_HTTP_OK, kPlain, ""};
  for (const Check& check : options_.checks) {
    const Status state = check.state();
    if (!state.ok() && check.decides) response.status = MHD_HTTP_SERVICE_UNAVAILABLE;
    response.body.append(check.name).append(": ").append(Words(state)).append("\n");
  }
  for (const std::string& trouble : options_.troubles()) response.body.append(trouble).append("\n");
  return response;
}

std::string AdminServer::StatusJson() const {
  StatusReport report{.time = std::chrono::system_clock::now(),
                      .started = started_,
                      .up = UpTime(),
                      .ready = true,
                      .parts = {},
                      .troubles = options_.troubles(),
                      .calls_in_flight = metrics_.calls_in_flight(),
                      .system = options_.system(),
                      .recent = metrics_.recent().Get()};
  for (const Check& check : options_.checks) {
    const Status state = check.state();
    report.parts.push_back({check.name, state.ok(), check.decides, Words(state)});
    if (!state.ok() && check.decides) report.ready = false;
  }
  return ToJson(report);
}

std::chrono::seconds AdminServer::UpTime() const {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::steady_clock::now() - up_since_);
}

}  // namespace tokend::telemetry
