#include "daemon/app/service_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/notify_socket.h"
#include "tests/fakes/temporary_folder.h"

namespace tokend::app {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

class ServiceManagerTest : public testing::Test {
 protected:
  ServiceManagerTest() { setenv("NOTIFY_SOCKET", socket_.name().c_str(), 1); }
  ~ServiceManagerTest() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }

  fakes::TemporaryFolder folder_;
  fakes::NotifySocket socket_{folder_ / "notify"};
  fakes::HandCrankedLoop loop_;
};

TEST_F(ServiceManagerTest, HearsOfTheStartTheReloadAndTheStop) {
  ServiceManager manager;
  manager.WatchLoop(loop_);
  loop_.RunPending();
  EXPECT_THAT(socket_.Take(), ElementsAre("STATUS=starting\n"));
  manager.SetServing(true);
  EXPECT_THAT(socket_.Take(), ElementsAre("READY=1\nSTATUS=serving\n"));
  manager.BeginReload();
  EXPECT_THAT(socket_.Take(),
              ElementsAre(MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+\nSTATUS=reloading\n")));
  manager.EndReload("");
  EXPECT_THAT(socket_.Take(), ElementsAre("READY=1\nSTATUS=serving\n"));
  manager.Stop(seconds(50));
  manager.SetServing(false);
  EXPECT_THAT(
      socket_.Take(),
      ElementsAre("STOPPING=1\nEXTEND_TIMEOUT_USEC=50000000\nSTATUS=stopping: running calls may finish\n"));
}

TEST_F(ServiceManagerTest, SocketMayBeAbstract) {
  const fakes::NotifySocket abstract("@tokend-test-" + std::to_string(getpid()));
  setenv("NOTIFY_SOCKET", abstract.name().c_str(), 1);
  ServiceManager manager;
  manager.SetServing(true);
  EXPECT_THAT(abstract.Take(), ElementsAre("READY=1\nSTATUS=serving\n"));
}

TEST_F(ServiceManagerTest, StatusSaysWhyNoCallIsServed) {
  ServiceManager manager;
  manager.SetServing(true);
  (void)socket_.Take();
  manager.SetServing(false);
  EXPECT_THAT(socket_.Take(), ElementsAre("STATUS=not serving: the audit log cannot be written\n"));
  manager.SetServing(true);
  EXPECT_THAT(socket_.Take(), ElementsAre("STATUS=serving\n"));
}

TEST_F(ServiceManagerTest, StatusKeepsTheFirstErrorOfARejectedReload) {
  ServiceManager manager;
  manager.SetServing(true);
  manager.BeginReload();
  (void)socket_.Take();
  manager.EndReload("tokend.yaml:3:1: unknown key\nREADY=0");
  EXPECT_THAT(socket_.Take(),
              ElementsAre("READY=1\nSTATUS=serving; the last reload was rejected: tokend.yaml:3:1: unknown "
                          "key READY=0\n"));
  manager.EndReload("");
  EXPECT_THAT(socket_.Take(), ElementsAre("STATUS=serving\n"));
}

TEST_F(ServiceManagerTest, ReloadBeforeTheDaemonServesDoesNotEndTheStart) {
  ServiceManager manager;
  manager.BeginReload();
  manager.EndReload("");
  EXPECT_THAT(socket_.Take(), ElementsAre("STATUS=starting\n"));
}

TEST_F(ServiceManagerTest, LoopKeepsTheWatchdogQuietAtHalfOfItsTime) {
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  ServiceManager manager;
  manager.WatchLoop(loop_);
  loop_.RunPending();
  EXPECT_THAT(socket_.Take(), ElementsAre("WATCHDOG=1\n", "STATUS=starting\n"));
  loop_.Advance(seconds(15) - microseconds(1));
  EXPECT_THAT(socket_.Take(), IsEmpty());
  loop_.Advance(microseconds(1));
  EXPECT_THAT(socket_.Take(), ElementsAre("WATCHDOG=1\n"));
  loop_.Advance(seconds(15));
  EXPECT_THAT(socket_.Take(), ElementsAre("WATCHDOG=1\n"));
}

TEST_F(ServiceManagerTest, WatchdogOfAnotherProcessIsLeftAlone) {
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  ServiceManager manager;
  manager.WatchLoop(loop_);
  loop_.RunPending();
  loop_.Advance(seconds(60));
  EXPECT_THAT(socket_.Take(), ElementsAre("STATUS=starting\n"));
}

TEST_F(ServiceManagerTest, MessageThatFindsNoRoomIsSentAgainWithTheStateOfThen) {
  ServiceManager manager;
  manager.WatchLoop(loop_);
  // These are more messages than a socket has room for.
  constexpr int kChanges = 10'000;
  for (int i = 0; i < kChanges; ++i) manager.SetServing(i % 2 == 0);
  manager.BeginReload();
  manager.EndReload("");
  const std::vector<std::string> early = socket_.Take();
  EXPECT_THAT(early, Not(IsEmpty()));
  EXPECT_THAT(early, Each(Not(HasSubstr("RELOADING"))));
  loop_.RunPending();
  EXPECT_THAT(socket_.Take(), ElementsAre("READY=1\nSTATUS=not serving: the audit log cannot be written\n"));
}

TEST_F(ServiceManagerTest, SendsNothingToAnEmptyRelativeOrTooLongAddress) {
  const std::filesystem::path started_in = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  const fakes::NotifySocket relative("relative");
  // The longest name that a socket can have, and an address of which it is the beginning.
  std::string name = "@tokend-test-" + std::to_string(getpid());
  name.resize(sizeof(sockaddr_un::sun_path), 'x');
  const fakes::NotifySocket longest(name);
  for (const std::string& address : {std::string(), relative.name(), longest.name() + 'x'}) {
    setenv("NOTIFY_SOCKET", address.c_str(), 1);
    ServiceManager manager;
    manager.WatchLoop(loop_);
    loop_.RunPending();
    manager.SetServing(true);
    manager.Stop(seconds(1));
  }
  std::filesystem::current_path(started_in);
  EXPECT_THAT(socket_.Take(), IsEmpty());
  EXPECT_THAT(relative.Take(), IsEmpty());
  EXPECT_THAT(longest.Take(), IsEmpty());
}

}  // namespace
}  // namespace tokend::app
