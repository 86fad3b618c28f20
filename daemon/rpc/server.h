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
#include "daemon/telemetry/metrics.h"

namespace tokend::rpc {

enum class Serving { kNo, kYes };

// The gRPC edge: every listener, and the calls that come in on them. Its functions are for one thread at a
// time.
class Server {
 public:
  // Listens, and logs each "listening" address; health says NOT_SERVING. All that is referred to must outlive
  // this, and the metrics also every reply that the issuer owes.
  static Result<std::unique_ptr<Server>> Start(const config::Config& config, const EdgeSettings& settings,
                                               issue::Issuer& issuer, const issue::CurrentConfig& current,
                                               telemetry::Metrics& metrics);

  virtual ~Server() = default;

  // From here on new handshakes and new calls go by these, which are of the same listeners.
  virtual void Use(const EdgeSettings& settings) = 0;

  // What health says; after Drain it stays NOT_SERVING.
  virtual void SetServing(Serving serving) = 0;

  // Closes and unlinks the listeners; calls on live connections get SHUTTING_DOWN, those in flight go on.
  virtual void Drain() = 0;

  // Calls whose reply has not come, whether or not their callers still wait.
  virtual std::size_t calls_in_flight() const = 0;

  // Whether no call was in flight by the deadline. After Drain none can begin.
  virtual bool WaitIdle(std::chrono::steady_clock::time_point deadline) = 0;

  // Drains, gives calls `grace` to end by themselves, cancels those left and closes all connections. The
  // destructor stops without grace.
  virtual void Stop(std::chrono::milliseconds grace) = 0;

  // Where it listens, in the order of the configuration, with real ports.
  virtual std::vector<std::string> addresses() const = 0;
};

}  // namespace tokend::rpc
