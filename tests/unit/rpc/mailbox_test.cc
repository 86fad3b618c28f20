#include "daemon/rpc/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <thread>
#include <vector>

namespace tokend::rpc {
namespace {

bool IsReadable(const Mailbox& mailbox) {
  pollfd polled{mailbox.descriptor(), POLLIN, 0};
  return poll(&polled, 1, 0) == 1;
}

TEST(Mailbox, RunsTasksInOrderOnTheOwnersThread) {
  Mailbox mailbox;
  mailbox.BindToThisThread();
  std::vector<int> ran;
  std::thread([&] {
    for (int i = 0; i < 3; ++i) mailbox.Post([&ran, i] { ran.push_back(i); });
  }).join();
  EXPECT_TRUE(IsReadable(mailbox));
  EXPECT_TRUE(ran.empty());
  mailbox.RunTasks();
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2}));
  EXPECT_FALSE(IsReadable(mailbox));
}

TEST(Mailbox, RunsATaskOfTheOwnersThreadAtOnce) {
  Mailbox mailbox;
  mailbox.BindToThisThread();
  bool ran = false;
  mailbox.RunOrPost([&] { ran = true; });
  EXPECT_TRUE(ran);
  std::thread([&] { mailbox.RunOrPost([&] { ran = false; }); }).join();
  EXPECT_TRUE(ran);
  mailbox.RunTasks();
  EXPECT_FALSE(ran);
}

TEST(Mailbox, LosesNoTaskOfManyThreads) {
  Mailbox mailbox;
  mailbox.BindToThisThread();
  constexpr int kThreads = 4;
  constexpr int kTasks = 10000;
  int ran = 0;
  std::vector<std::thread> posters;
  for (int i = 0; i < kThreads; ++i) {
    posters.emplace_back([&] {
      for (int task = 0; task < kTasks; ++task) mailbox.Post([&ran] { ++ran; });
    });
  }
  while (ran < kThreads * kTasks) {
    pollfd polled{mailbox.descriptor(), POLLIN, 0};
    ASSERT_EQ(poll(&polled, 1, 60000), 1);
    mailbox.RunTasks();
  }
  for (std::thread& poster : posters) poster.join();
}

TEST(Mailbox, EndsTasksUnrunOnceClosed) {
  Mailbox mailbox;
  mailbox.BindToThisThread();
  auto waiting = std::make_shared<int>(0);
  auto late = std::make_shared<int>(0);
  mailbox.Post([waiting] { ++*waiting; });
  mailbox.Close();
  EXPECT_EQ(waiting.use_count(), 1);
  mailbox.Post([late] { ++*late; });
  mailbox.RunOrPost([late] { ++*late; });
  EXPECT_EQ(late.use_count(), 1);
  mailbox.RunTasks();
  EXPECT_EQ(*waiting + *late, 0);
}

}  // namespace
}  // namespace tokend::rpc
