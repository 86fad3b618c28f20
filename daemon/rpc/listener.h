#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "daemon/base/current.h"
#include "daemon/base/result.h"
#include "daemon/base/shares.h"
#include "daemon/base/tcp_listener.h"
#include "daemon/rpc/authenticated_call.h"
#include "daemon/rpc/bounds.h"
#include "daemon/rpc/connection.h"
#include "daemon/rpc/health_service.h"
#include "daemon/rpc/listening_socket.h"
#include "daemon/rpc/routes.h"
#include "daemon/rpc/server_settings.h"
#include "daemon/rpc/tls_context.h"
#include "daemon/rpc/token_bucket.h"

namespace tokend::rpc {

struct ListenerOptions {
  std::size_t max_connections = bounds::kMaxConnections;
  // The maximum for one holder (Peer::holder). If there is none, holders have fair shares of max_connections.
  std::optional<std::size_t> max_connections_per_peer = {};
  bounds::Times times = {};
};

// One listener. Its thread accepts connections, owns them, and runs the handlers of their calls, so nothing
// that clients do here delays another listener. The public functions may be called by one thread at a time,
// and not by the listener's own.
class Listener {
 public:
  // Without `tls` it serves plaintext. All references must outlive this; `metrics` must outlive every answer
  // of the issuer.
  Listener(std::vector<ListeningSocket> sockets, CallServices services, std::shared_ptr<const TlsContext> tls,
           const ListenerOptions& options, telemetry::Metrics& metrics);
  // Stops at once.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Starts the thread. Fails if the system allows no further thread.
  Status Start();

  // New handshakes and new calls use these settings from now on.
  void Apply(const ServerSettings::Listener& settings);

  // Sets the answer of health checks.
  void SetServing(Serving serving);

  // Closes and unlinks the listening sockets and retires all connections.
  void Drain();

  // Ends all calls, each with a status, and all connections. The thread ends by the deadline.
  void BeginStop(std::chrono::steady_clock::time_point deadline);
  // Waits for the thread's end.
  void AwaitStop();

  // The number of connections. Any thread.
  std::size_t connections() const { return open_connections_; }

  // With their actual ports.
  const std::vector<std::string>& addresses() const { return addresses_; }
  const std::string& name() const { return services_.listener; }
  // When its certificate expires. Nothing: the listener has no TLS. Any thread.
  std::optional<std::chrono::system_clock::time_point> certificate_not_after() const {
    return is_tls_ ? std::optional(tls_.Get()->validity().not_after) : std::nullopt;
  }
  // Of its authenticator. Any thread.
  std::optional<identity::FetchedKeys> fetched_keys() const {
    return services_.authenticator->Get()->fetched_keys();
  }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  // The epoll data of descriptors that are not connections. Connections use their ids, which begin after
  // these.
  static constexpr std::uint64_t kListeningSockets = 0;
  static constexpr std::uint64_t kMailbox = 1;

  // A connection with the listener's data about it.
  struct Entry {
    std::unique_ptr<Connection> connection;
    std::string holder;          // its key in shares_
    std::uint32_t interest = 0;  // the events that epoll waits for
    bool is_handshake = false;   // it is counted in handshakes_
  };

  void Run();
  void RunOnce();
  int WaitMs() const;
  void OnEvent(std::uint64_t id, std::uint32_t events);
  void RunHandshakes(std::chrono::nanoseconds more);
  void FlushTouched();

  bool WatchSockets();
  void Accept();
  void AcceptOn(const ListeningSocket& socket);
  void AddConnection(Descriptor socket);
  bool MakeRoomFor(std::string_view holder);
  bool HasPlaceFor(std::string_view holder) const;
  bool TakeHandshake(const Peer& peer);
  void LimitPendingHandshakes();
  std::string ShareHolderOf(const Peer& peer) const;
  bool IdentifiesCaller(const Peer& peer) const;

  // The connection with the least `key` among those for which `which` is true; null if there is none.
  template <class Which, class Key>
  Entry* FindLeast(Which which, Key key);
  void RetireUnknownCallers();
  void EnforceByteLimits();

  void UpdateEpoll(Entry& entry);
  void OnHandshakeEnd(Entry& entry);
  void CloseAtOnce(Entry& entry, CloseCause cause);
  void Remove(std::uint64_t id);
  void LogClose(const Connection& connection);
  void StopAccepting();
  void PauseAccepting();

  void ShowCertificateEnd(const TlsContext& tls);

  const CallServices services_;
  const bool is_tls_;
  Current<TlsContext> tls_;  // null: plaintext
  const ListenerOptions options_;
  telemetry::Metrics& metrics_;
  const std::vector<std::string> addresses_;

  // Once the thread runs, only it may use these.
  std::vector<ListeningSocket> sockets_;
  HealthService health_;
  Routes routes_;
  ConnectionContext context_;
  const Descriptor epoll_;
  absl::flat_hash_map<std::uint64_t, Entry> connections_;
  std::uint64_t last_id_ = kMailbox;
  std::vector<std::uint64_t> pending_;           // connections with more to do than one time slice allows
  std::vector<std::uint64_t> handshakes_ready_;  // handshakes whose next step is due in this pass
  Shares shares_;                                // of the connections
  const bounds::Rate handshake_rate_;
  absl::flat_hash_map<std::string, TokenBucket> handshake_rates_;  // by address
  Shares handshakes_{bounds::kMaxHandshakes};                      // the pending ones, by address
  std::chrono::nanoseconds handshake_time_{0};  // how long handshakes may still run in this pass
  // The last log line about each cause, with and without a client certificate.
  absl::flat_hash_map<std::pair<CloseCause, bool>, TimePoint> logged_at_;
  std::size_t closed_since_trim_ = 0;
  std::size_t freed_since_trim_ = 0;
  Timer resume_accepting_;
  Timer retire_unknown_callers_;
  Timer trim_memory_;
  std::optional<TimePoint> stop_by_;

  std::atomic<std::size_t> open_connections_{0};
  std::thread thread_;
};

}  // namespace tokend::rpc
