#include "daemon/rpc/door.h"

#include <gtest/gtest.h>

namespace tokend::rpc {
namespace {

TEST(PeerName, UnescapesWhatTheTransportSays) {
  EXPECT_EQ(PeerName("ipv4:127.0.0.1:4711"), "ipv4:127.0.0.1:4711");
  EXPECT_EQ(PeerName("ipv6:%5B::1%5D:4711"), "ipv6:[::1]:4711");
  EXPECT_EQ(PeerName("ipv6:%5bfe80::1%25eth0%5d:4711"), "ipv6:[fe80::1%eth0]:4711");
  EXPECT_EQ(PeerName("ipv6:[::1]:4711"), "ipv6:[::1]:4711");
  EXPECT_EQ(PeerName("ipv4:1%"), "ipv4:1%");
  EXPECT_EQ(PeerName("ipv4:1%5"), "ipv4:1%5");
  EXPECT_EQ(PeerName("ipv4:1%zz"), "ipv4:1%zz");
}

TEST(PeerName, IsUnknownForWhatIsNoAddress) {
  EXPECT_EQ(PeerName(""), "unknown");
  EXPECT_EQ(PeerName("unix:"), "unknown");
  EXPECT_EQ(PeerName("fd:7"), "unknown");
}

}  // namespace
}  // namespace tokend::rpc
