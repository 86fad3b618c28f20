#include "daemon/base/tcp_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tokend {
namespace {

Status SystemError(const char* what, const std::string& address) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", address));
}

// How often to look for a port that is free on all addresses of a name.
constexpr int kPortAttempts = 16;

// The address of a socket, as the system's calls take it.
struct SocketName {
  sockaddr_storage bytes{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&bytes); }
  bool operator==(const SocketName& other) const {
    return size == other.size && std::memcmp(&bytes, &other.bytes, size) == 0;
  }

  in_port_t& port() {
    return bytes.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bytes)->sin6_port
                                       : reinterpret_cast<sockaddr_in*>(&bytes)->sin_port;
  }

  // "127.0.0.1:8443"
  std::string Text() {
    std::array<char, NI_MAXHOST> host{};
    if (getnameinfo(get(), size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0) return "";
    return HostAndPort(host.data(), ntohs(port()));
  }
};

// The addresses of a name, each once.
Result<std::vector<SocketName>> Find(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* first = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &first) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot find the address of ", HostAndPort(host, port),
                                                   "; give an IP address of this machine"));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> found(first, &freeaddrinfo);
  std::vector<SocketName> names;
  for (const addrinfo* each = first; each != nullptr; each = each->ai_next) {
    SocketName name;
    name.size = each->ai_addrlen;
    std::memcpy(&name.bytes, each->ai_addr, each->ai_addrlen);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

// Nothing if this machine does not have the address.
Result<std::optional<TcpListener>> ListenOn(SocketName name) {
  const std::string wanted = name.Text();
  Descriptor listener(socket(name.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener && errno == EAFNOSUPPORT) return std::nullopt;
  if (!listener) return SystemError("make a socket for", wanted);
  // Allows an address that closed connections of an earlier process still hold (TIME_WAIT). On Linux it does
  // not allow a second listener.
  const int yes = 1;
  const int no = 0;
  if (setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0) {
    return SystemError("set up a socket for", wanted);
  }
  if (name.bytes.ss_family == AF_INET6) {
    setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
  }
  if (bind(listener.get(), name.get(), name.size) != 0) {
    if (errno == EADDRNOTAVAIL) return std::nullopt;
    if (errno != EADDRINUSE) return SystemError("bind", wanted);
    return absl::AlreadyExistsError(absl::StrCat("another process listens on ", wanted, "; end it first"));
  }
  if (listen(listener.get(), SOMAXCONN) != 0) return SystemError("listen on", wanted);
  if (getsockname(listener.get(), name.get(), &name.size) != 0) {
    return SystemError("find the port of", "a listener");
  }
  return TcpListener{std::move(listener), name.Text(), ntohs(name.port())};
}

Result<TcpListeners> ListenOnAll(const std::vector<SocketName>& names) {
  TcpListeners all;
  for (SocketName name : names) {
    if (!all.listening.empty()) name.port() = htons(all.listening.front().port);
    Result<std::optional<TcpListener>> one = ListenOn(name);
    if (!one.ok()) return one.status();
    if (*one) {
      all.listening.push_back(**std::move(one));
    } else {
      all.skipped.push_back(name.Text());
    }
  }
  return all;
}

}  // namespace

std::string HostAndPort(const std::string& host, std::uint16_t port) {
  const bool ipv6 = host.find(':') != std::string::npos;
  return absl::StrCat(ipv6 ? "[" : "", host, ipv6 ? "]" : "", ":", port);
}

Result<TcpListeners> ListenTcp(const std::string& host, std::uint16_t port) {
  const Result<std::vector<SocketName>> names = Find(host, port);
  if (!names.ok()) return names.status();
  Result<TcpListeners> all = ListenOnAll(*names);
  for (int attempt = 1; port == 0 && absl::IsAlreadyExists(all.status()) && attempt < kPortAttempts;
       ++attempt) {
    all = ListenOnAll(*names);
  }
  if (!all.ok() || !all->listening.empty()) return all;
  return absl::FailedPreconditionError(
      absl::StrCat(HostAndPort(host, port), " is not an address of this machine; give one that is"));
}

}  // namespace tokend
