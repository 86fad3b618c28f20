#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "daemon/base/current.h"
#include "daemon/base/result.h"
#include "daemon/base/shares.h"
#include "daemon/rpc/bounds.h"
#include "daemon/rpc/caller_call.h"
#include "daemon/rpc/connection.h"
#include "daemon/rpc/health_service.h"
#include "daemon/rpc/listening_socket.h"
#include "daemon/rpc/rate_budget.h"
#include "daemon/rpc/routes.h"
#include "daemon/rpc/tls_context.h"

namespace tokend::rpc {

struct ListenerOptions {
  std::size_t max_connections = bounds::kMaxConnections;
  // Of one address or uid; nothing: its share of max_connections.
  std::optional<std::size_t> max_connections_per_peer = {};
  bounds::Times times = {};
};

// One listener: a thread that accepts connections and owns them, with everything that belongs to their calls.
// Its clients cannot take time from other listeners. One thread at a time may call its functions, and not the
// listener's own.
class Listener {
 public:
  // New handshakes use `tls`; null means plaintext. `add_routes` adds the methods beside health. All that is
  // passed by reference must outlive this, and `metrics` also the answers that are still pending.
  Listener(ListeningSocket socket, CallServices services, std::shared_ptr<const Current<TlsContext>> tls,
           const ListenerOptions& options, telemetry::Metrics& metrics,
           const std::function<void(const CallServices&, Routes&)>& add_routes);
  // Stops without grace.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Starts the thread. RESOURCE_EXHAUSTED if the process may have no further thread.
  Status Start();

  // Sets the status that health reports.
  void SetServing(Serving serving);

  // Closes and unlinks the socket, and begins to retire all connections.
  void Drain();

  // Begins to end all calls, each with a status, and all connections, by the deadline.
  void BeginStop(std::chrono::steady_clock::time_point deadline);
  // Waits until that is done, and the thread has ended.
  void AwaitStop();

  // Connections that are not closed. Any thread.
  std::size_t connections() const { return open_connections_; }

  const std::string& address() const { return address_; }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  // A connection, and what the listener knows of it.
  struct Held {
    std::unique_ptr<Connection> connection;
    std::string holder;          // whose share it takes
    std::uint32_t interest = 0;  // that epoll was told
    bool is_handshake = false;   // counts as one under way
  };

  void Run();
  void Turn();
  int WaitMs() const;
  void OnEvent(std::uint64_t id, std::uint32_t events);
  void RunHandshakes(std::chrono::nanoseconds more);
  void FlushTouched();

  void Accept();
  void Admit(int socket);
  bool MakeRoom(std::string_view holder);
  bool HasPlaceFor(std::string_view holder) const;
  bool SpendHandshake(const Peer& peer);
  void LimitHandshakes();
  std::string ShareHolderOf(const Peer& peer) const;
  bool ShowsCaller(const Peer& peer) const;

  // Of those that `which` holds of, the one with the least `key`; null: it holds of none.
  template <class Which, class Key>
  Held* LeastOf(Which which, Key key);
  void RetireStrangers();
  void LimitHeld();

  void Update(Held& held);
  void EndHandshake(Held& held);
  void CloseAtOnce(Held& held, CloseCause cause);
  void Remove(std::uint64_t id);
  void Report(const Connection& connection);
  void StopAccepting();
  void PauseAccepting();
  void InThread(absl::AnyInvocable<void()> task);

  const CallServices services_;
  const std::shared_ptr<const Current<TlsContext>> tls_;
  const ListenerOptions options_;
  telemetry::Metrics& metrics_;
  const std::string address_;

  // The listener's thread alone, once it runs.
  std::optional<ListeningSocket> socket_;
  HealthService health_;
  Routes routes_;
  ConnectionContext context_;
  const int epoll_;
  absl::flat_hash_map<std::uint64_t, Held> connections_;
  std::uint64_t last_id_;
  std::vector<std::uint64_t> unread_;            // have more to read than one turn allows
  std::vector<std::uint64_t> handshakes_ready_;  // may take a step, in this turn
  Shares shares_;                                // of connections
  const bounds::Rate handshake_rate_;
  absl::flat_hash_map<std::string, RateBudget> handshake_rates_;  // by address
  absl::flat_hash_map<std::string, std::size_t> handshakes_;      // under way, by address
  std::size_t handshakes_under_way_ = 0;
  std::chrono::nanoseconds handshake_time_{0};           // that they may take yet
  absl::flat_hash_map<CloseCause, TimePoint> reported_;  // when the log last said so
  std::size_t closed_since_trim_ = 0;
  std::size_t freed_since_trim_ = 0;
  Timer resume_accepting_;
  Timer retire_strangers_;
  Timer trim_memory_;
  std::optional<TimePoint> stop_by_;

  std::atomic<std::size_t> open_connections_{0};
  std::thread thread_;
};

}  // namespace tokend::rpc
