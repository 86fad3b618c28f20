#include "daemon/base/peer_user.h"

#include <gtest/gtest.h>

namespace tokend {
namespace {

constexpr char kWhole[] = "         0          0 4294967295\n";
constexpr char kContainer[] = "         0     100000      65536\n";

TEST(PeerUser, IsAnyUidWhereEveryUserIsMapped) {
  for (const uid_t uid : {uid_t{0}, uid_t{1000}, OverflowUid()}) EXPECT_EQ(NamedUser(uid, kWhole), uid);
}

TEST(PeerUser, IsNotTheOverflowUidWhereSomeUsersAreNotMapped) {
  for (const char* map : {kContainer, "0 1000 1\n", "0 0 65536\n65536 65536 4294901759\n", "", "x"}) {
    EXPECT_EQ(NamedUser(OverflowUid(), map), std::nullopt) << map;
    EXPECT_EQ(NamedUser(1000, map), 1000U) << map;
  }
}

}  // namespace
}  // namespace tokend
