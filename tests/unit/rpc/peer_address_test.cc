#include "daemon/rpc/peer_address.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace tokend::rpc {
namespace {

using testing::StartsWith;

// A connection from one address of the loopback to a listener of this family.
class Connection {
 public:
  Connection(int listening_family, int family, const char* from, const char* to) {
    listener_ = socket(listening_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 any{};
    any.sin6_family = static_cast<sa_family_t>(listening_family);
    socklen_t size = listening_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&any), size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&any), &size), 0);
    client_ = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Bind(family, from);
    ConnectTo(family, to, any.sin6_port);
    accepted_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  }
  ~Connection() {
    for (const int each : {listener_, client_, accepted_}) close(each);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int accepted() const { return accepted_; }

 private:
  void Bind(int family, const char* from) const {
    if (family == AF_INET) {
      sockaddr_in name{};
      name.sin_family = AF_INET;
      inet_pton(AF_INET, from, &name.sin_addr);
      EXPECT_EQ(bind(client_, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    }
  }
  void ConnectTo(int family, const char* to, in_port_t port) const {
    if (family == AF_INET) {
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_port = port;
      inet_pton(AF_INET, to, &name.sin_addr);
      EXPECT_EQ(connect(client_, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    } else {
      sockaddr_in6 name{};
      name.sin6_family = AF_INET6;
      name.sin6_port = port;
      inet_pton(AF_INET6, to, &name.sin6_addr);
      EXPECT_EQ(connect(client_, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    }
  }

  int listener_ = -1;
  int client_ = -1;
  int accepted_ = -1;
};

bool HasIpv6() {
  const int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  name.sin6_addr = in6addr_loopback;
  const bool has = probe >= 0 && bind(probe, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0;
  if (probe >= 0) close(probe);
  return has;
}

TEST(PeerOf, NamesAnIpv4PeerAndCountsItsAddress) {
  const Connection connection(AF_INET, AF_INET, "127.0.0.9", "127.0.0.1");
  const Result<Peer> peer = PeerOf(connection.accepted());
  ASSERT_TRUE(peer.ok());
  EXPECT_THAT(peer->name, StartsWith("ipv4:127.0.0.9:"));
  EXPECT_EQ(peer->holder, "127.0.0.9");
  EXPECT_FALSE(peer->unix_uid);
}

TEST(PeerOf, NamesAnIpv4PeerOfAnIpv6SocketAsIpv4) {
  if (!HasIpv6()) GTEST_SKIP() << "no IPv6 here";
  const Connection connection(AF_INET6, AF_INET, "127.0.0.9", "127.0.0.1");
  const Result<Peer> peer = PeerOf(connection.accepted());
  ASSERT_TRUE(peer.ok());
  EXPECT_THAT(peer->name, StartsWith("ipv4:127.0.0.9:"));
  EXPECT_EQ(peer->holder, "127.0.0.9");
}

TEST(PeerOf, NamesAnIpv6PeerAndCountsItsNetwork) {
  if (!HasIpv6()) GTEST_SKIP() << "no IPv6 here";
  const Connection connection(AF_INET6, AF_INET6, "::1", "::1");
  const Result<Peer> peer = PeerOf(connection.accepted());
  ASSERT_TRUE(peer.ok());
  EXPECT_THAT(peer->name, StartsWith("ipv6:[::1]:"));
  EXPECT_EQ(peer->holder, "::");
}

TEST(PeerOf, NamesAUnixPeerByItsUid) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const Result<Peer> peer = PeerOf(pair[0]);
  ASSERT_TRUE(peer.ok());
  EXPECT_EQ(peer->name, "unix:uid=" + std::to_string(geteuid()));
  EXPECT_EQ(peer->holder, peer->name);
  EXPECT_EQ(peer->unix_uid, geteuid());
  close(pair[0]);
  close(pair[1]);
}

TEST(PeerOf, FailsForWhatIsNoConnection) {
  const int unconnected = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_FALSE(PeerOf(unconnected).ok());
  close(unconnected);
}

}  // namespace
}  // namespace tokend::rpc
