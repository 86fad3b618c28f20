#include "daemon/rpc/peer_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "daemon/base/peer_user.h"

namespace tokend::rpc {
namespace {

constexpr std::size_t kNetworkBytes = 8;  // the first 64 bits of an IPv6 address are its network

std::string Text(int family, const void* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return inet_ntop(family, address, text.data(), text.size()) != nullptr ? text.data() : "unknown";
}

Peer V4Peer(const void* address, in_port_t port) {
  const std::string text = Text(AF_INET, address);
  return {.name = absl::StrCat("ipv4:", text, ":", ntohs(port)), .holder = text};
}

Peer V6Peer(const sockaddr_in6& name) {
  // An IPv6 socket shows an IPv4 client as ::ffff:a.b.c.d: its last four bytes are the IPv4 address.
  if (IN6_IS_ADDR_V4MAPPED(&name.sin6_addr)) return V4Peer(&name.sin6_addr.s6_addr[12], name.sin6_port);
  in6_addr network = name.sin6_addr;
  std::memset(&network.s6_addr[kNetworkBytes], 0, sizeof(network) - kNetworkBytes);
  return {.name = absl::StrCat("ipv6:[", Text(AF_INET6, &name.sin6_addr), "]:", ntohs(name.sin6_port)),
          .holder = Text(AF_INET6, &network)};
}

}  // namespace

Result<Peer> PeerOf(int socket) {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    return absl::ErrnoToStatus(errno, "getpeername");
  }
  if (name.ss_family == AF_INET6) return V6Peer(reinterpret_cast<const sockaddr_in6&>(name));
  if (name.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
    return V4Peer(&v4.sin_addr, v4.sin_port);
  }
  ucred user{};
  size = sizeof(user);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &user, &size) != 0) {
    return absl::ErrnoToStatus(errno, "SO_PEERCRED");
  }
  const std::string text = absl::StrCat("unix:uid=", user.uid);
  return Peer{.name = text, .holder = text, .unix_uid = NamedUser(user.uid)};
}

}  // namespace tokend::rpc
