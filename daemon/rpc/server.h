#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/issuer.h"
#include "daemon/rpc/health_service.h"
#include "daemon/rpc/in_flight_limit.h"
#include "daemon/rpc/listener.h"
#include "daemon/rpc/server_settings.h"
#include "daemon/telemetry/metrics.h"

namespace tokend::rpc {

// The maximum of connections of each listener. All listeners together may use half of the process's
// descriptors, since the audit log and the upstream need some.
std::size_t MaxConnections(std::size_t listeners);

// The state of one listener.
struct ListenerStatus {
  std::string name;
  std::vector<std::string> addresses;  // with their actual ports
  std::size_t connections = 0;
  std::optional<std::chrono::system_clock::time_point> certificate_not_after = {};  // nothing: no TLS
};

// The daemon's gRPC server: all listeners and what they share. One thread at a time.
class Server {
 public:
  // Starts all listeners and logs their addresses. Health checks get NOT_SERVING until SetServing. All
  // references must outlive this; the metrics must outlive every answer of the issuer.
  static Result<std::unique_ptr<Server>> Start(const config::Config& config, const ServerSettings& settings,
                                               issue::Issuer& issuer, const issue::CurrentConfig& current,
                                               telemetry::Metrics& metrics, const bounds::Times& times = {});
  // Stops at once.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // New handshakes and new calls use these settings from now on. They must be for the same listeners.
  void Apply(const ServerSettings& settings);

  // Sets the answer of health checks. After Drain it stays NOT_SERVING.
  void SetServing(Serving serving);

  // Closes and unlinks the listening sockets and asks clients, by GOAWAY, to begin no more calls. Later calls
  // get SHUTTING_DOWN. Calls in flight continue. A connection closes when it has no more calls.
  void Drain();

  // How many calls wait for their answer, including those whose clients have gone.
  std::size_t calls_in_flight() const { return in_flight_->calls_in_flight(); }

  // Waits until no call is in flight. False if the deadline passes first.
  bool WaitIdle(std::chrono::steady_clock::time_point deadline) { return in_flight_->WaitIdle(deadline); }

  // After Drain: waits until no call is in flight and no connection is open. False if the deadline passes
  // first.
  bool WaitDrained(std::chrono::steady_clock::time_point deadline);

  // Closes the listening sockets, ends all calls, each with a status, and closes all connections within
  // `grace`.
  void Stop(std::chrono::milliseconds grace);

  // What the listeners whose keys are fetched have, by listener. Any thread, as long as this lives.
  std::map<std::string, identity::FetchedKeys> fetched_keys() const;

  // The states of all listeners, in the order of the configuration. Any thread, as long as this lives.
  std::vector<ListenerStatus> listeners() const;

  // The addresses of the listeners, with their actual ports, in the order of the configuration.
  std::vector<std::string> addresses() const;

 private:
  Server(const ServerSettings& settings, telemetry::Metrics& metrics);

  std::shared_ptr<InFlightLimit> in_flight_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  bool draining_ = false;
};

}  // namespace tokend::rpc
