#include "daemon/telemetry/admin.h"

#include <civetweb.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tokend::telemetry {

struct AdminServer::Response {
  int status;
  std::string_view content_type;
  std::string body;
};

namespace {

// civetweb's settings: everything that a client can take up has an end.
constexpr std::pair<const char*, const char*> kSettings[] = {
    {"num_threads", "2"},
    {"connection_queue", "16"},
    {"listen_backlog", "32"},
    // A request line and its headers; a body is not read.
    {"max_request_size", "8192"},
    // For all of a request, and for each part of an answer.
    {"request_timeout_ms", "2000"},
    {"enable_keep_alive", "no"},
    // No path of ours needs it, and %00 would cut one short.
    {"decode_url", "no"},
};

constexpr std::chrono::milliseconds kWakeInterval{10};

constexpr std::string_view kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kHtml = "text/html; charset=utf-8";
constexpr std::string_view kPrometheus = "text/plain; version=0.0.4; charset=utf-8";

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
th { font-weight: 500; width: 40%; }
.ok { color: #1a7f37; }
.bad { color: #cf222e; font-weight: 600; }
code { font-family: ui-monospace, monospace; }
)";

std::string Escape(std::string_view text) {
  return absl::StrReplaceAll(
      std::string(text), {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::string Row(std::string_view name, std::string_view cell_html) {
  return std::string("<tr><th scope=\"row\">").append(Escape(name)).append("</th><td>").append(cell_html) +
         "</td></tr>\n";
}

std::string Words(const Status& status) {
  return status.ok() ? "ok" : std::string(status.message().data(), status.message().size());
}

void Send(mg_connection* connection, int status, std::string_view content_type, std::string_view body,
          bool with_body) {
  const std::string date = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone());
  std::string answer = "HTTP/1.1 " + std::to_string(status) + " ";
  answer.append(mg_get_response_code_text(connection, status)).append("\r\nDate: ").append(date);
  answer.append("\r\nContent-Type: ").append(content_type);
  answer.append("\r\nContent-Length: ").append(std::to_string(body.size()));
  if (status == 405) answer.append("\r\nAllow: GET, HEAD");
  answer.append(
      "\r\nConnection: close"
      "\r\nCache-Control: no-store"
      "\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
      "form-action 'none'; frame-ancestors 'none'"
      "\r\nReferrer-Policy: no-referrer"
      "\r\nX-Content-Type-Options: nosniff\r\n\r\n");
  if (with_body) answer.append(body);
  mg_write(connection, answer.data(), answer.size());
}

// What civetweb could not read as a request. Its own page would repeat what the client sent.
int OnUnreadable(mg_connection* connection, int status, const char*) {
  Send(connection, status, kPlain, "bad request\n", true);
  return 0;
}

// civetweb's messages can repeat what a client sent.
int OnMessage(const mg_connection*, const char*) { return 1; }

std::string HostAndPort(const config::TcpAddress& address) {
  const bool ipv6 = address.host.find(':') != std::string::npos;
  return (ipv6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

// Begins to connect, and forgets it.
void Connect(const config::TcpAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found) != 0) return;
  const int connection = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connection >= 0) {
    static_cast<void>(connect(connection, found->ai_addr, found->ai_addrlen));
    close(connection);
  }
  freeaddrinfo(found);
}

}  // namespace

AdminServer::AdminServer(AdminOptions options, const Metrics& metrics)
    : options_(std::move(options)), metrics_(metrics) {}

Result<std::unique_ptr<AdminServer>> AdminServer::Start(AdminOptions options, const Metrics& metrics) {
  const std::string address = HostAndPort(options.address);
  if (address.front() == '[' && mg_check_feature(MG_FEATURES_IPV6) == 0) {
    return absl::FailedPreconditionError("admin.address " + address +
                                         ": the HTTP server (civetweb) was built without IPv6: use IPv4");
  }
  static std::once_flag once;
  std::call_once(once, [] { mg_init_library(MG_FEATURES_DEFAULT); });

  std::unique_ptr<AdminServer> server(new AdminServer(std::move(options), metrics));
  std::vector<const char*> settings = {"listening_ports", address.c_str()};
  for (const auto& [name, value] : kSettings) settings.insert(settings.end(), {name, value});
  settings.push_back(nullptr);
  mg_callbacks callbacks{};
  callbacks.begin_request = &AdminServer::OnRequest;
  callbacks.http_error = &OnUnreadable;
  callbacks.log_message = &OnMessage;

  server->server_ = mg_start(&callbacks, server.get(), settings.data());
  mg_server_port port{};
  if (server->server_ == nullptr || mg_get_server_ports(server->server_, 1, &port) != 1) {
    return absl::FailedPreconditionError(
        "admin.address " + address +
        ": cannot listen there; another process may have the port, or the address is not this machine's");
  }
  server->port_ = static_cast<std::uint16_t>(port.port);
  return server;
}

AdminServer::~AdminServer() {
  if (server_ == nullptr) return;
  // civetweb's listening thread looks only every two seconds whether it shall stop; a connection wakes it.
  const config::TcpAddress listening{options_.address.host, port_};
  const std::jthread waker([&listening](const std::stop_token& stopped) {
    while (!stopped.stop_requested()) {
      Connect(listening);
      std::this_thread::sleep_for(kWakeInterval);
    }
  });
  mg_stop(server_);
}

int AdminServer::OnRequest(mg_connection* connection) noexcept {
  const mg_request_info& request = *mg_get_request_info(connection);
  const std::string_view method = request.request_method;
  const bool head = method == "HEAD";
  Response response{405, kPlain, "method not allowed\n"};
  if (head || method == "GET") {
    response = static_cast<const AdminServer*>(request.user_data)->Answer(request.local_uri);
  }
  Send(connection, response.status, response.content_type, response.body, !head);
  return response.status;
}

AdminServer::Response AdminServer::Answer(std::string_view path) const {
  if (path == "/livez") return {200, kPlain, "ok\n"};
  if (path == "/readyz") return Readiness();
  if (path == "/metrics") return {200, kPrometheus, metrics_.Text()};
  if (path == "/") return {200, kHtml, StatusPage()};
  return {404, kPlain, "not found\n"};
}

AdminServer::Response AdminServer::Readiness() const {
  Response response{200, kPlain, ""};
  for (const Check& check : options_.checks) {
    const Status state = check.state();
    if (!state.ok()) response.status = 503;
    response.body.append(check.name).append(": ").append(Words(state)).append("\n");
  }
  for (const std::string& trouble : Troubles()) response.body.append(trouble).append("\n");
  return response;
}

std::vector<std::string> AdminServer::Troubles() const {
  return options_.troubles ? options_.troubles() : std::vector<std::string>{};
}

std::string AdminServer::StatusPage() const {
  const auto uptime = std::chrono::floor<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>tokend</title>\n<style>";
  page.append(kStyle).append("</style>\n</head>\n<body>\n<h1>tokend</h1>\n<table>\n");
  page += Row("Version", Escape(TOKEND_VERSION));
  page += Row("Up for", Escape(absl::FormatDuration(absl::FromChrono(uptime))));
  page += Row("Calls in flight", std::to_string(metrics_.calls_in_flight()));
  page += Row("Configuration", "<code>" + Escape(options_.configuration()) + "</code>");
  page += "</table>\n<h2>Readiness</h2>\n<table>\n";
  for (const Check& check : options_.checks) {
    const Status state = check.state();
    page += Row(check.name, std::string("<span class=\"").append(state.ok() ? "ok" : "bad").append("\">") +
                                Escape(Words(state)) + "</span>");
  }
  for (const std::string& trouble : Troubles()) {
    page += Row("trouble", "<span class=\"bad\">" + Escape(trouble) + "</span>");
  }
  page +=
      "</table>\n<p><a href=\"/livez\">livez</a> · <a href=\"/readyz\">readyz</a> · "
      "<a href=\"/metrics\">metrics</a></p>\n</body>\n</html>\n";
  return page;
}

}  // namespace tokend::telemetry
