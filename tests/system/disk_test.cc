// The real daemon on a disk that fails: no call hangs, the daemon returns no bearer without its record, and
// it serves again by itself once the disk works.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <mutex>
#include <thread>

#include "tests/system/account.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// The value of audit.deadline in these tests. A call may wait for two records.
constexpr milliseconds kDeadline{500};
constexpr milliseconds kLongestCall = 2 * kDeadline + seconds(1);
// The longest time between the end of a fault and the first token.
constexpr seconds kReturn{1};
constexpr int kCallers = 8;

// Callers that request one token after another.
class BusyCallers {
 public:
  explicit BusyCallers(const std::string& address) {
    for (int i = 0; i < kCallers; ++i) {
      threads_.emplace_back([this, address](const std::stop_token& stop) { Ask(address, stop); });
    }
  }

  // Waits until this many calls that began after now have ended, with or without a token.
  bool WaitForTokens(std::size_t count) { return WaitFor(&BusyCallers::tokens_, count); }
  bool WaitForFailures(std::size_t count) { return WaitFor(&BusyCallers::failures_, count); }

  // The time at which a call that ended after `since` got the first token.
  Clock::duration FirstTokenAfter(Clock::time_point since) {
    Eventually([&] {
      const std::lock_guard lock(mutex_);
      return last_token_ > since;
    });
    const std::lock_guard lock(mutex_);
    return first_token_after_ ? *first_token_after_ - since : Clock::duration::max();
  }
  // FirstTokenAfter returns the time of the first token after this call.
  Clock::time_point Mark() {
    const std::lock_guard lock(mutex_);
    first_token_after_.reset();
    return Clock::now();
  }

  void Stop() { threads_.clear(); }
  Clock::duration longest() {
    const std::lock_guard lock(mutex_);
    return longest_;
  }
  std::size_t tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }
  std::map<std::string, int> reasons() {
    const std::lock_guard lock(mutex_);
    return reasons_;
  }
  Account account() {
    const std::lock_guard lock(mutex_);
    return account_;
  }

 private:
  void Ask(const std::string& address, const std::stop_token& stop) {
    const RawClient client(address);
    while (!stop.stop_requested()) {
      const auto begin = Clock::now();
      const Answered answered = client.Create(RequestFor("ios-app"));
      const auto end = Clock::now();
      {
        const std::lock_guard lock(mutex_);
        account_.Add(answered);
        longest_ = std::max(longest_, end - begin);
        ++reasons_[answered.code == 0 ? "OK" : answered.reason];
        ++(answered.code == 0 ? tokens_ : failures_);
        if (answered.code == 0) {
          last_token_ = end;
          if (!first_token_after_) first_token_after_ = end;
        }
      }
      // Callers that were told to retry later wait as well.
      if (answered.code != 0) std::this_thread::sleep_for(milliseconds(5));
    }
  }

  bool WaitFor(std::size_t BusyCallers::*counter, std::size_t count) {
    std::unique_lock lock(mutex_);
    const std::size_t before = this->*counter;
    lock.unlock();
    return Eventually([&] {
      const std::lock_guard again(mutex_);
      return this->*counter >= before + count;
    });
  }

  std::mutex mutex_;
  Account account_;
  Clock::duration longest_{0};
  Clock::time_point last_token_{};
  std::optional<Clock::time_point> first_token_after_;
  std::size_t tokens_ = 0;
  std::size_t failures_ = 0;
  std::map<std::string, int> reasons_;
  std::vector<std::jthread> threads_;  // last, because they use all members above
};

class Disk : public SystemTest {
 protected:
  Disk() : log_folder_(folder_ / "log") { std::filesystem::create_directory(log_folder_); }

  // The daemon, with its log in a separate folder.
  void StartOnLog(std::string audit_file = {}, std::map<std::string, std::string> environment = {}) {
    Tokend::Options options;
    options.audit = "file: {path: " + log_folder_ + "/audit.jsonl" + std::move(audit_file) +
                    "}, deadline: " + std::to_string(kDeadline.count()) + "ms";
    options.grant = "      description: \"{request_id}\"\n";
    options.environment = std::move(environment);
    Start(options);
  }

  bool Ready() const { return tokend_->Get("/readyz").rfind("HTTP/1.1 200", 0) == 0; }

  // Expects what must hold during and after a time in which records cannot be made durable.
  template <class Begin, class End>
  void ExpectToSurvive(Begin begin, End end) {
    ASSERT_TRUE(Eventually([this] { return Ready(); }));
    BusyCallers callers(tokend_->address());
    ASSERT_TRUE(callers.WaitForTokens(20));
    begin();
    ASSERT_TRUE(callers.WaitForFailures(2 * kCallers));
    EXPECT_TRUE(Eventually([this] { return !Ready(); })) << "ready without a log";
    callers.account().ExpectReleasesIn(
        AuditRecords(std::filesystem::exists(log_folder_) ? log_folder_ : away_));
    const auto ended = callers.Mark();
    end();
    const auto back = callers.FirstTokenAfter(ended);
    EXPECT_LE(back, kReturn);
    EXPECT_TRUE(Eventually([this] { return Ready(); }));
    ASSERT_TRUE(callers.WaitForTokens(20));
    callers.Stop();
    EXPECT_LE(callers.longest(), kLongestCall);
    EXPECT_EQ(Stop(), 0);
    Account account = callers.account();
    account.Expect(AuditRecords(log_folder_), applivery_->tokens());
    ExpectVerifies(log_folder_);
    const auto ms = [](Clock::duration time) {
      return std::chrono::duration_cast<milliseconds>(time).count();
    };
    std::cout << "back after " << ms(back) << " ms, longest call " << ms(callers.longest()) << " ms;";
    for (const auto& [reason, count] : callers.reasons()) std::cout << " " << reason << " " << count;
    std::cout << "\n";
  }

  std::string log_folder_;
  const std::string away_ = folder_ / "away";  // where a test may move the log's folder
};

std::string NameOf(const testing::TestParamInfo<const char*>& parameter) {
  std::string name = parameter.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// A disk that fails on command: see faulty_disk.cc.
class FaultyDisk : public Disk, public testing::WithParamInterface<const char*> {
 protected:
  void StartOnFaultyDisk() {
    StartOnLog({}, {{"LD_PRELOAD", FAULTY_DISK_LIBRARY},
                    {"FAULTY_DISK", folder_ / "fault"},
                    {"ASAN_OPTIONS", "verify_asan_link_order=0"}});
  }
  // Renamed into place, so that the daemon never reads half of it.
  void Set(const std::string& fault) {
    WriteFile(folder_ / "fault.new", fault);
    std::filesystem::rename(folder_ / "fault.new", folder_ / "fault");
  }
};

TEST_P(FaultyDisk, FailsCallsInTimeAndServesAgainByItself) {
  StartOnFaultyDisk();
  ExpectToSurvive([this] { Set(GetParam()); }, [this] { Set(""); });
}

INSTANTIATE_TEST_SUITE_P(, FaultyDisk,
                         testing::Values("write-eio", "write-nospace", "write-hang", "sync-eio", "sync-hang"),
                         &NameOf);

class PatientDisk : public FaultyDisk {};

TEST_P(PatientDisk, FailsNoCall) {
  StartOnFaultyDisk();
  Set(GetParam());
  for (const Answered& one :
       client_->CreateMany(200, 16, [](std::size_t) { return RequestFor("ios-app"); })) {
    EXPECT_EQ(one.code, 0) << one.reason;
  }
  EXPECT_EQ(Stop(), 0);
  EXPECT_EQ(AuditFiles(log_folder_).size(), 1U);
  ExpectVerifies(log_folder_);
}

INSTANTIATE_TEST_SUITE_P(, PatientDisk, testing::Values("write-short", "write-interrupted"), &NameOf);

TEST_F(Disk, FileThatAnotherProcessDeletedIsReplacedAndNoCallFailsForLong) {
  StartOnLog();
  ASSERT_EQ(Create("ios-app").code, 0);
  std::filesystem::remove(log_folder_ + "/audit.jsonl");
  EXPECT_TRUE(Eventually([this] { return Create("ios-app").code == 0; }, seconds(5)));
  EXPECT_THAT(LineWith(ReadFile(log_folder_ + "/audit.jsonl"), {"audit.recovered"}),
              HasSubstr("audit.jsonl was removed or replaced"));
}

TEST_F(Disk, FileThatAnotherProcessTruncatedIsSetAsideAndTheLossIsSeen) {
  StartOnLog();
  ASSERT_EQ(Create("ios-app").code, 0);
  std::filesystem::resize_file(log_folder_ + "/audit.jsonl", 100);
  EXPECT_TRUE(Eventually([this] { return Create("ios-app").code == 0; }, seconds(5)));
  EXPECT_THAT(LineWith(ReadFile(log_folder_ + "/audit.jsonl"), {"audit.recovered"}),
              HasSubstr("audit.jsonl was truncated, or written by another"));
}

// A folder on which a test may mount. This thread, and the programs that it starts, are in a mount namespace
// of their own.
TEST_F(Disk, StartThatFindsTheLogAheadOfTheClockWarnsAndWritesTheClocksTime) {
  WriteFile(folder_ / "audit.jsonl",
            R"({"seq":1,"time":"2199-01-01T00:00:00.000000Z","event":"daemon.started",)"
            R"("config":"0123456789abcdef","prev":")" +
                std::string(64, '0') + "\"}\n");
  Start();
  EXPECT_THAT(LineWith(tokend_->log(), {"audit.ahead_of_clock"}), HasSubstr("\"level\":\"warning\""));
  EXPECT_LT(Field(LastRecord("daemon.started"), "time"), "2199");
}

class MountedDisk : public Disk {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "mounting needs CAP_SYS_ADMIN";
    }
  }
  void TearDown() override {
    tokend_.reset();
    while (umount2(log_folder_.c_str(), MNT_DETACH) == 0) continue;
  }
};

TEST_F(MountedDisk, FullFileSystemFailsCallsInTimeAndServesAgainOnceThereIsRoom) {
  ASSERT_EQ(mount("tmpfs", log_folder_.c_str(), "tmpfs", 0, "size=1m"), 0) << std::strerror(errno);
  StartOnLog();
  const std::string filler = log_folder_ + "/filler";
  ExpectToSurvive(
      [&] {
        const int file = open(filler.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        const std::array<char, 512> bytes{};
        while (write(file, bytes.data(), bytes.size()) > 0) continue;
        EXPECT_EQ(errno, ENOSPC);
        close(file);
      },
      [&] { std::filesystem::remove(filler); });
}

TEST_F(MountedDisk, FolderThatBecomesReadOnlyFailsCallsInTimeAndServesAgainOnceItIsNot) {
  // Open files stay writable. The daemon notices the fault at its next rotation.
  StartOnLog(", max_size: 24KiB");
  ExpectToSurvive(
      [&] {
        ASSERT_EQ(mount(log_folder_.c_str(), log_folder_.c_str(), nullptr, MS_BIND, nullptr), 0);
        ASSERT_EQ(mount(nullptr, log_folder_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
      },
      [&] { ASSERT_EQ(umount2(log_folder_.c_str(), MNT_DETACH), 0); });
}

TEST_F(MountedDisk, VanishedFolderFailsCallsInTimeAndServesAgainOnceItIsBack) {
  StartOnLog();
  ExpectToSurvive([&] { std::filesystem::rename(log_folder_, away_); },
                  [&] { std::filesystem::rename(away_, log_folder_); });
}

// The log goes only to standard output, and its reader may stop reading.
class StandardOutput : public SystemTest {
 protected:
  void StartOnPipe() {
    const std::string fifo = folder_ / "stdout";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    pipe_ = open(fifo.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    fcntl(pipe_, F_SETPIPE_SZ, 4096);
    reader_ = std::jthread([this](const std::stop_token& stop) { Read(stop); });
    Tokend::Options options;
    options.audit = "stdout: {}, deadline: " + std::to_string(kDeadline.count()) + "ms";
    options.grant = "      description: \"{request_id}\"\n";
    options.out = fifo;
    Start(options);
  }
  void TearDown() override {
    reading_ = true;
    tokend_.reset();
    if (reader_.joinable()) {
      reader_.request_stop();
      reader_.join();
    }
    close(pipe_);
  }

  void Read(const std::stop_token& stop) {
    char buffer[4096];
    while (!stop.stop_requested()) {
      const ssize_t got = reading_ ? read(pipe_, buffer, sizeof(buffer)) : 0;
      if (got > 0) {
        const std::lock_guard lock(mutex_);
        text_.append(buffer, static_cast<std::size_t>(got));
      } else {
        std::this_thread::sleep_for(milliseconds(1));
      }
    }
  }

  std::vector<std::string> Records() {
    const std::lock_guard lock(mutex_);
    return Lines(text_);
  }

  int pipe_ = -1;
  std::atomic<bool> reading_ = true;
  std::mutex mutex_;
  std::string text_;
  std::jthread reader_;
};

TEST_F(StandardOutput, ReaderThatStopsMakesCallsFailInTimeAndNotHang) {
  StartOnPipe();
  BusyCallers callers(tokend_->address());
  ASSERT_TRUE(callers.WaitForTokens(20));
  reading_ = false;
  ASSERT_TRUE(callers.WaitForFailures(kCallers));
  EXPECT_TRUE(Eventually([this] { return tokend_->Get("/readyz").rfind("HTTP/1.1 503", 0) == 0; }));
  EXPECT_TRUE(Eventually([this] {
    return RunProgram({Program("tokenctl"), "--address", tokend_->address(), "health"}).exit != 0;
  })) << "its own log cannot be written: other replicas serve better";
  const auto ended = callers.Mark();
  reading_ = true;
  EXPECT_LE(callers.FirstTokenAfter(ended), kReturn);
  ASSERT_TRUE(callers.WaitForTokens(20));
  callers.Stop();
  EXPECT_LE(callers.longest(), kLongestCall);
  EXPECT_EQ(Stop(), 0);
  EXPECT_TRUE(Eventually([this] { return !LineWith(Records().back(), {"checkpoint"}).empty(); }));
  Account account = callers.account();
  account.Expect(Records(), applivery_->tokens());
  std::filesystem::create_directory(folder_ / "read");
  std::string text;
  for (const std::string& record : Records()) text += record + "\n";
  WriteFile(folder_ / "read/audit.jsonl", text);
  ExpectVerifies(folder_ / "read");
}

}  // namespace
}  // namespace tokend::system
