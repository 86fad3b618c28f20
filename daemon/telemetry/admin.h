#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/telemetry/metrics.h"

struct MHD_Connection;
struct MHD_Daemon;

namespace tokend::telemetry {

// One thing that readiness depends on.
struct Check {
  std::string name;               // a fixed word
  std::function<Status()> state;  // OK, or why not, in fixed words. Any thread, two at once; must not block
};

struct AdminOptions {
  config::TcpAddress address;                  // port 0: any free one
  std::function<std::string()> configuration;  // what the status page says of it. Any thread; must not block
  std::vector<Check> checks;
  // What an operator should know though the daemon is ready, a line each. Any thread; must not block.
  std::function<std::vector<std::string>()> troubles = {};
};

// The admin page over HTTP/1.1, read only and without secrets: /livez, /readyz, /metrics, and a status page
// at / with its data at /status.json. The last two answer a client of this machine only under a loopback
// name, so that no web site can read them through a browser. Everything that a client sends is bounded in
// size and time, and is neither shown nor logged.
class AdminServer {
 public:
  // Listens, and answers on one thread of its own. `metrics` must outlive the server.
  static Result<std::unique_ptr<AdminServer>> Start(AdminOptions options, const Metrics& metrics);

  // Stops listening, and ends the connections with the answers that are being written.
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  struct Response;

  AdminServer(AdminOptions options, const Metrics& metrics);

  bool OnRequest(MHD_Connection* connection, std::string_view path, std::string_view method) const;
  Response Answer(std::string_view path) const;
  Response Readiness() const;
  std::vector<std::string> Troubles() const;
  std::string StatusPage() const;
  std::string StatusJson() const;
  std::chrono::seconds UpTime() const;

  const AdminOptions options_;
  const Metrics& metrics_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::uint16_t port_ = 0;
  MHD_Daemon* server_ = nullptr;
};

}  // namespace tokend::telemetry
