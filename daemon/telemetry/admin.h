#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/tcp_listener.h"
#include "daemon/config/config.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/telemetry/system_state.h"

struct MHD_Connection;
struct MHD_Daemon;

namespace tokend::telemetry {

// What /readyz and the status page say of one part.
struct Check {
  std::string name;  // a fixed word
  std::function<Status()>
      state;  // OK, or the reason in fixed words. Any thread, several at once; must not block
  // Whether the replica is unready while the state is not OK. What hits all replicas alike is shown alone: no
  // other replica would serve better.
  bool decides = true;
};

struct AdminOptions {
  config::TcpAddress address;           // port 0: any free one
  std::function<SystemState()> system;  // for the status page. Any thread; must not block
  std::vector<Check> checks;
  // Troubles that do not make the daemon unready, each in one line. Any thread; must not block.
  std::function<std::vector<std::string>()> troubles = [] { return std::vector<std::string>(); };
  // Sets the metrics that change with time alone, before they are shown. Any thread; must not block.
  std::function<void()> refresh_metrics = [] {};
};

// The admin server: HTTP/1.1, read only, without secrets. It serves /livez, /readyz, /metrics, a status page
// at / and the page's data at /status.json. A client on this machine gets the last two only under a loopback
// name, so that a web site cannot read them through a browser (DNS rebinding). What clients send is bounded
// in size and time, and is neither shown nor logged.
class AdminServer {
 public:
  // Listens on every address of the configured host, and answers on a thread for each. `metrics` must outlive
  // the server.
  static Result<std::unique_ptr<AdminServer>> Start(AdminOptions options, const Metrics& metrics);

  // Stops listening and closes the connections, also those whose answer is not complete.
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  std::uint16_t port() const { return port_; }
  // With the actual port.
  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  struct Response;

  AdminServer(AdminOptions options, const Metrics& metrics);

  Status AnswerOn(TcpListener listener);
  bool OnRequest(MHD_Connection* connection, std::string_view path, std::string_view method) const;
  Response Answer(std::string_view path) const;
  Response Readiness() const;
  std::string StatusJson() const;
  std::chrono::seconds UpTime() const;

  const AdminOptions options_;
  const Metrics& metrics_;
  const WallTime started_ = std::chrono::system_clock::now();
  const std::chrono::steady_clock::time_point up_since_ = std::chrono::steady_clock::now();
  std::uint16_t port_ = 0;
  std::vector<std::string> addresses_;
  std::vector<MHD_Daemon*> servers_;  // one for each address
};

}  // namespace tokend::telemetry
