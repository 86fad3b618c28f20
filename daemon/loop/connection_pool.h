#pragma once

#include <curl/curl.h>

#include <chrono>
#include <cstddef>
#include <unordered_map>

#include "daemon/loop/tls_refusals.h"

namespace tokend::loop {

// The connections that requests of one client share. Where one of them must carry no further request, the
// client makes another pool for later requests. A pool closes its connections when it is destroyed. Loop
// thread only.
class ConnectionPool {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Bounds {
    std::size_t max_requests = 0;          // on one connection; 0: any number
    std::chrono::milliseconds max_age{0};  // of the pool, and so of each connection; 0: any age
  };

  ConnectionPool(const Bounds& bounds, TimePoint now);
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  // For CURLOPT_SHARE. A handle must leave it before the pool is destroyed.
  CURLSH* share() const { return share_; }

  // The refusals on those of its connections that show a client certificate.
  TlsRefusals& tls_refusals() { return tls_refusals_; }

  bool TooOld(TimePoint now) const;

  // Whether the pool is younger than this and no request has had a connection of it: one that is made in it
  // is as new as one of another pool.
  bool IsNew(TimePoint now, std::chrono::milliseconds age) const {
    return connections_.empty() && now - born_ < age;
  }

  // Whether one more request may go on the connection with this local port; counts it. Where a later
  // connection of the pool has the same port, the requests of both count together.
  bool Take(int local_port);

  // Libcurl has opened this socket for a connection of the pool, or closes it. It does not say so where no
  // connection came about; the socket's number is then another file's, or soon is.
  void Opened(int socket) { local_ports_[socket] = 0; }
  void Closed(int socket);

  // The socket of the connection with this local port, once Take has counted a request on it; -1 where it is
  // not known.
  int SocketOf(int local_port);

  // The connection carries no further request.
  void Spoil(int local_port);

  // The connection is closed: another may get its port.
  void Forget(int local_port);

 private:
  const std::size_t max_requests_;
  const std::chrono::milliseconds max_age_;
  const TimePoint born_;
  TlsRefusals tls_refusals_;
  struct Connection {
    std::size_t requests = 0;
    int socket = -1;  // once it was asked for
  };
  std::unordered_map<int, int> local_ports_;         // of sockets; 0: not asked for
  std::unordered_map<int, Connection> connections_;  // by local port
  CURLSH* const share_;                              // last: libcurl closes the sockets with it
};

}  // namespace tokend::loop
