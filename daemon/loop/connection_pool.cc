#include "daemon/loop/connection_pool.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <limits>
#include <new>

namespace tokend::loop {
namespace {

constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

// 0 for what is not a socket of IP.
int LocalPortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

}  // namespace

ConnectionPool::ConnectionPool(const Bounds& bounds, TimePoint now)
    : max_requests_(bounds.max_requests == 0 ? kAnyNumber : bounds.max_requests),
      max_age_(bounds.max_age),
      born_(now),
      share_(curl_share_init()) {
  if (curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) == CURLSHE_OK) return;
  curl_share_cleanup(share_);
  throw std::bad_alloc();
}

ConnectionPool::~ConnectionPool() { curl_share_cleanup(share_); }

bool ConnectionPool::TooOld(TimePoint now) const { return max_age_.count() > 0 && now - born_ >= max_age_; }

bool ConnectionPool::Take(int local_port) {
  std::size_t& requests = connections_[local_port].requests;
  if (requests >= max_requests_) return false;
  ++requests;
  return true;
}

void ConnectionPool::Spoil(int local_port) { connections_[local_port].requests = max_requests_; }

void ConnectionPool::Forget(int local_port) { connections_.erase(local_port); }

void ConnectionPool::Closed(int socket) {
  const auto closed = local_ports_.extract(socket);
  if (closed.empty()) return;
  const auto connection = connections_.find(closed.mapped());
  if (connection != connections_.end()) connection->second.socket = -1;
}

int ConnectionPool::SocketOf(int local_port) {
  const auto connection = connections_.find(local_port);
  if (connection == connections_.end()) return -1;
  if (connection->second.socket >= 0) return connection->second.socket;
  for (auto& [socket, port] : local_ports_) {
    if (port == 0) port = LocalPortOf(socket);
    if (port == local_port) connection->second.socket = socket;
  }
  return connection->second.socket;
}

}  // namespace tokend::loop
