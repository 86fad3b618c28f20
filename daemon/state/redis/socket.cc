#include "daemon/state/redis/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace tokend::state {
namespace {

using std::chrono::steady_clock;

Status NoConnection() { return absl::UnavailableError("there is no connection to Redis"); }
Status NotInTime() { return absl::UnavailableError("Redis does not answer in time"); }
Status Broken() { return absl::UnavailableError("the connection to Redis broke"); }

// False if the deadline passes first.
bool AwaitConnected(int socket, steady_clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd waits{socket, POLLOUT, 0};
    const int count = poll(&waits, 1, static_cast<int>(left.count()));
    if (count > 0) break;
    if (count < 0 && errno != EINTR) return false;
  }
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

Descriptor ConnectTo(const sockaddr* address, socklen_t size, steady_clock::time_point deadline) {
  Descriptor connected(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!connected) return Descriptor();
  if (connect(connected.get(), address, size) != 0 && errno != EINPROGRESS) return Descriptor();
  if (!AwaitConnected(connected.get(), deadline)) return Descriptor();
  const int no_delay = 1;
  // Fails on a unix socket, which does not need it.
  setsockopt(connected.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof(no_delay));
  return connected;
}

Descriptor ConnectToUnix(const std::string& path, steady_clock::time_point deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return ConnectTo(reinterpret_cast<const sockaddr*>(&address), sizeof(address), deadline);
}

// Tries each address of the host. Those that do not answer share the time.
Descriptor ConnectToHost(const config::TcpAddress& tcp, steady_clock::time_point deadline) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(tcp.host.c_str(), std::to_string(tcp.port).c_str(), &hints, &found) != 0)
    return Descriptor();
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, &freeaddrinfo);
  int left = 0;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) ++left;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next, --left) {
    const steady_clock::time_point now = steady_clock::now();
    Descriptor connected = ConnectTo(each->ai_addr, each->ai_addrlen, now + (deadline - now) / left);
    if (connected) return connected;
  }
  return Descriptor();
}

}  // namespace

Result<RedisSocket> RedisSocket::Open(const config::Address& address,
                                      const std::optional<config::ClientTls>& tls, SteadyTime deadline) {
  const auto* tcp = std::get_if<config::TcpAddress>(&address);
  RedisSocket opened(tcp != nullptr ? ConnectToHost(*tcp, deadline)
                                    : ConnectToUnix(std::get<config::UnixAddress>(address).path, deadline));
  if (!opened.socket_) return NoConnection();
  if (tls) {
    if (tcp == nullptr) return absl::UnavailableError("TLS with Redis needs a host name");
    if (Status begun = opened.BeginTls(*tls, tcp->host, deadline); !begun.ok()) return begun;
  }
  return opened;
}

Status RedisSocket::BeginTls(const config::ClientTls& tls, const std::string& host, SteadyTime deadline) {
  Result<TlsSettings> settings = ReadTls(tls);
  if (!settings.ok()) return settings.status();
  settings_ = *std::move(settings);
  Result<TlsSession> session = NewTlsSession(settings_, socket_.get(), host);
  if (!session.ok()) return session.status();
  session_ = *std::move(session);
  while (true) {
    ERR_clear_error();
    const int done = SSL_connect(session_.get());
    if (done == 1) return absl::OkStatus();
    const int error = SSL_get_error(session_.get(), done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return TlsFailure(session_);
    const short events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    if (Status ready = AwaitEvents(events, deadline); !ready.ok()) {
      return absl::UnavailableError("TLS with Redis failed: " + std::string(ready.message()));
    }
  }
}

Result<std::size_t> RedisSocket::Write(std::string_view bytes) {
  if (bytes.empty()) return 0;
  if (session_) {
    ERR_clear_error();
    const std::size_t most = std::min<std::size_t>(bytes.size(), INT_MAX);
    return TlsResult(SSL_write(session_.get(), bytes.data(), static_cast<int>(most)));
  }
  const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (errno == EAGAIN || errno == EINTR) return 0;
  return Broken();
}

Result<std::size_t> RedisSocket::Read(char* into, std::size_t room) {
  if (session_) {
    ERR_clear_error();
    return TlsResult(SSL_read(session_.get(), into, static_cast<int>(std::min<std::size_t>(room, INT_MAX))));
  }
  const ssize_t got = recv(socket_.get(), into, room, 0);
  if (got > 0) return static_cast<std::size_t>(got);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return Broken();
}

Result<std::size_t> RedisSocket::TlsResult(int result) {
  waits_to_write_ = false;
  if (result > 0) return static_cast<std::size_t>(result);
  switch (SSL_get_error(session_.get(), result)) {
    case SSL_ERROR_WANT_WRITE:
      waits_to_write_ = true;
      return 0;
    case SSL_ERROR_WANT_READ:
      return 0;
    case SSL_ERROR_SSL:
      return TlsFailure(session_);
    default:
      return Broken();
  }
}

Status RedisSocket::Await(For what, SteadyTime deadline) const {
  const bool to_write = what == For::kReadOrWrite || waits_to_write_;
  return AwaitEvents(static_cast<short>(to_write ? POLLIN | POLLOUT : POLLIN), deadline);
}

Status RedisSocket::AwaitEvents(short events, SteadyTime deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return NotInTime();
    pollfd socket{socket_.get(), events, 0};
    const int count = poll(&socket, 1, static_cast<int>(left.count()));
    if (count > 0) return absl::OkStatus();
    if (count < 0 && errno != EINTR) return Broken();
  }
}

}  // namespace tokend::state
