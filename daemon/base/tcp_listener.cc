#include "daemon/base/tcp_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tokend {
namespace {

Status SystemError(const char* what, const std::string& address) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", address));
}

Result<std::uint16_t> BoundPort(int socket) {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    return SystemError("find the port of", "a listener");
  }
  if (name.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&name)->sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in*>(&name)->sin_port);
}

}  // namespace

std::string HostAndPort(const std::string& host, std::uint16_t port) {
  const bool ipv6 = host.find(':') != std::string::npos;
  return absl::StrCat(ipv6 ? "[" : "", host, ipv6 ? "]" : "", ":", port);
}

Result<TcpListener> ListenTcp(const std::string& host, std::uint16_t port) {
  const std::string wanted = HostAndPort(host, port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot find the address of ", wanted, "; give an IP address of this machine"));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);

  Descriptor listener(socket(addresses->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener) return SystemError("make a socket for", wanted);
  // Allows an address that closed connections of an earlier process still hold (TIME_WAIT). On Linux it does
  // not allow a second listener.
  const int yes = 1;
  const int no = 0;
  if (setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0) {
    return SystemError("set up a socket for", wanted);
  }
  if (addresses->ai_family == AF_INET6) {
    setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
  }
  if (bind(listener.get(), addresses->ai_addr, addresses->ai_addrlen) != 0) {
    if (errno != EADDRINUSE) return SystemError("bind", wanted);
    return absl::AlreadyExistsError(absl::StrCat("another process listens on ", wanted, "; end it first"));
  }
  if (listen(listener.get(), SOMAXCONN) != 0) return SystemError("listen on", wanted);
  const Result<std::uint16_t> bound = BoundPort(listener.get());
  if (!bound.ok()) return bound.status();
  return TcpListener{std::move(listener), *bound};
}

}  // namespace tokend
