#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/issuer.h"
#include "daemon/rpc/edge_settings.h"
#include "daemon/rpc/health_service.h"
#include "daemon/rpc/in_flight_limit.h"
#include "daemon/rpc/listener.h"
#include "daemon/telemetry/metrics.h"

namespace tokend::rpc {

// How many connections each of so many listeners may have: together at most half of the descriptors of this
// process, as the audit log and the upstream need some.
std::size_t MaxConnections(std::size_t listeners);

// The daemon's side of gRPC: every listener, and the calls that come in on them. Its functions are for one
// thread at a time.
class Server {
 public:
  // Listens, and logs each "listening" address; health says NOT_SERVING. All that is referred to must outlive
  // this, and the metrics also every reply that the issuer owes.
  static Result<std::unique_ptr<Server>> Start(const config::Config& config, const EdgeSettings& settings,
                                               issue::Issuer& issuer, const issue::CurrentConfig& current,
                                               telemetry::Metrics& metrics, const bounds::Times& times = {});
  // Stops without grace.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // From here on new handshakes and new calls go by these, which are of the same listeners.
  void Use(const EdgeSettings& settings);

  // What health says; after Drain it stays NOT_SERVING.
  void SetServing(Serving serving);

  // Closes and unlinks the listeners. Clients are told to begin no more calls; those that come nevertheless
  // get SHUTTING_DOWN, those in flight go on. Connections close once they have none.
  void Drain();

  // Calls whose reply has not come, whether or not their clients still wait.
  std::size_t calls_in_flight() const { return in_flight_->calls_in_flight(); }

  // Whether no call was in flight by the deadline.
  bool WaitIdle(std::chrono::steady_clock::time_point deadline) { return in_flight_->WaitIdle(deadline); }

  // After Drain: whether no call was in flight and no connection open by the deadline.
  bool WaitDrained(std::chrono::steady_clock::time_point deadline);

  // Drains, ends the calls that still run, each with a status, and closes all connections within `grace`.
  void Stop(std::chrono::milliseconds grace);

  // Where it listens, in the order of the configuration, with real ports.
  std::vector<std::string> addresses() const;

 private:
  // What a reload replaces, of one listener.
  struct Reloadable {
    std::shared_ptr<CurrentAuthenticator> authenticator;
    std::shared_ptr<Current<TlsContext>> tls;  // null: none
  };

  Server(const EdgeSettings& settings, telemetry::Metrics& metrics, const bounds::Times& times);

  Status Listen(const config::Config& config, const EdgeSettings& settings, issue::Issuer& issuer,
                const issue::CurrentConfig& current);

  telemetry::Metrics& metrics_;
  const bounds::Times times_;
  std::shared_ptr<InFlightLimit> in_flight_;
  std::vector<Reloadable> reloadable_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  bool draining_ = false;
};

}  // namespace tokend::rpc
