// The real daemon under a service manager: what it says on $NOTIFY_SOCKET, and when.
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/fakes/notify_socket.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using testing::HasSubstr;
using testing::Not;

class ServiceManager : public SystemTest {
 protected:
  void StartUnderManager(std::map<std::string, std::string> environment = {}, std::string more = {}) {
    Tokend::Options options;
    options.environment = std::move(environment);
    options.environment["NOTIFY_SOCKET"] = socket_.name();
    options.more = std::move(more);
    options.audit = "file: {path: FOLDER/audit.jsonl}, deadline: 500ms";
    Start(options);
  }

  // Waits for the next message with this text and returns it. Searches after the last message that was found.
  std::string Await(const std::string& text) {
    std::string found;
    Eventually([&] {
      for (std::string& message : socket_.Take()) messages_.push_back(std::move(message));
      for (; found.empty() && next_ < messages_.size(); ++next_) {
        if (messages_[next_].find(text) != std::string::npos) found = messages_[next_];
      }
      return !found.empty();
    });
    return found;
  }

  bool Serves() const {
    return RunProgram({Program("tokenctl"), "--address", tokend_->address(), "health"}).exit == 0;
  }

  fakes::NotifySocket socket_{folder_ / "notify"};
  std::vector<std::string> messages_;
  std::size_t next_ = 0;  // the first message that no call of Await has looked at
};

TEST_F(ServiceManager, HearsThatTheDaemonServesReloadsAndStops) {
  StartUnderManager({}, "server: {drain_delay: 1s, drain: 2s}\n");
  EXPECT_EQ(Await("READY=1"), "READY=1\nSTATUS=serving\n");
  EXPECT_TRUE(Serves());

  tokend_->process().Signal(SIGHUP);
  EXPECT_THAT(Await("RELOADING=1"), HasSubstr("\nMONOTONIC_USEC="));
  EXPECT_EQ(Await("READY=1"), "READY=1\nSTATUS=serving\n");

  WriteFile(folder_ / "new.yaml", "polizy: {}\n" + ReadFile(tokend_->config_file()));
  std::filesystem::rename(folder_ / "new.yaml", tokend_->config_file());
  ASSERT_NE(Await("RELOADING=1"), "");
  const std::string rejected = Await("READY=1");
  EXPECT_THAT(rejected, HasSubstr("STATUS=serving; the last reload was rejected: "));
  EXPECT_THAT(rejected, HasSubstr("tokend.yaml:1:1"));

  tokend_->process().Signal(SIGTERM);
  EXPECT_THAT(Await("STOPPING=1"), HasSubstr("EXTEND_TIMEOUT_USEC=33000000\n"));
  EXPECT_EQ(tokend_->process().Wait(), 0);
  for (const std::string& message : socket_.Take()) EXPECT_THAT(message, Not(HasSubstr("READY=1")));
}

TEST_F(ServiceManager, HangingDiskIsAStatusAndLeavesTheWatchdogQuiet) {
  StartUnderManager({{"WATCHDOG_USEC", "200000"},
                     {"LD_PRELOAD", FAULTY_DISK_LIBRARY},
                     {"FAULTY_DISK", folder_ / "fault"},
                     {"ASAN_OPTIONS", "verify_asan_link_order=0"}});
  ASSERT_NE(Await("READY=1"), "");
  WriteFile(folder_ / "fault.new", "sync-hang");
  std::filesystem::rename(folder_ / "fault.new", folder_ / "fault");
  EXPECT_EQ(Create("ios-app").reason, "AUDIT_UNAVAILABLE");
  EXPECT_NE(Await("STATUS=not serving: the audit log cannot be written"), "");
  for (int i = 0; i < 10; ++i) ASSERT_EQ(Await("WATCHDOG=1"), "WATCHDOG=1\n");
  EXPECT_TRUE(tokend_->process().running());

  std::filesystem::remove(folder_ / "fault");
  EXPECT_EQ(Await("STATUS=serving"), "STATUS=serving\n");
  EXPECT_TRUE(Eventually([this] { return Create("ios-app").code == kOk; }));
  EXPECT_EQ(Stop(), 0);
}

}  // namespace
}  // namespace tokend::system
