#include "daemon/rpc/connection_limit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tokend::rpc {
namespace {

int MakeConnection() { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }

TEST(ConnectionLimit, AdmitsAsManyAsTheMaximumUntilSomebodyClosesOne) {
  ConnectionLimit limit(2);
  const int first = MakeConnection();
  const int second = MakeConnection();
  const int third = MakeConnection();
  EXPECT_TRUE(limit.Admit(first));
  EXPECT_TRUE(limit.Admit(second));
  EXPECT_FALSE(limit.Admit(third));
  close(first);
  EXPECT_TRUE(limit.Admit(third));
  EXPECT_FALSE(limit.Admit(second));
  close(second);
  close(third);
}

TEST(ConnectionLimit, TakesARecycledDescriptorForAnotherConnection) {
  ConnectionLimit limit(1);
  const int first = MakeConnection();
  EXPECT_TRUE(limit.Admit(first));
  const int other = MakeConnection();
  ASSERT_EQ(dup3(other, first, O_CLOEXEC), first);
  EXPECT_TRUE(limit.Admit(other));
  close(first);
  close(other);
}

TEST(MaxConnections, LeavesHalfOfTheDescriptorsToTheRest) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_EQ(MaxConnections(1), 50U);
  EXPECT_EQ(MaxConnections(2), 25U);
  EXPECT_EQ(MaxConnections(1000), 1U);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace tokend::rpc
