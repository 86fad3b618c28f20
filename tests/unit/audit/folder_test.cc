#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "daemon/audit/open.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/unit/audit/audit_fixture.h"
#include "tests/unit/audit/log_check.h"

namespace tokend::audit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Tests with a log in a real folder.
class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    config_.file =
        config::AuditFile{.path = (folder_ / "audit.jsonl").string(), .max_size = 256U << 20U, .keep = 30};
  }

  Status TryOpen() {
    OpenOptions options;
    options.config = "0123456789abcdef";
    options.config_text = config_text_;
    options.timing.retry = std::chrono::milliseconds(1);
    Result<Opened> opened = OpenAuditLog(config_, *ReadKeys(config_), std::move(options), loop_);
    if (!opened.ok()) return opened.status();
    log_ = std::move(opened->log);
    gap_ = std::move(opened->gap);
    return absl::OkStatus();
  }
  Result<std::uint64_t> Append(const std::string& event) {
    std::optional<Result<std::uint64_t>> answer;
    log_->Append(EventOf(event), [&](Result<std::uint64_t> result) { answer = std::move(result); });
    if (!loop_.RunUntil([&] { return answer.has_value(); })) return absl::UnknownError("no answer");
    return *answer;
  }
  Status AppendUntilWritable() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (true) {
      Status status = Append("again").status();
      if (status.ok() || std::chrono::steady_clock::now() > deadline) return status;
    }
  }
  std::vector<CheckedLine> Log() const { return ReadLog(ReadFiles(folder_)); }

  const fakes::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
  config::Audit config_;
  std::string config_text_;
  fakes::HandCrankedLoop loop_;
  std::unique_ptr<QueuedAuditLog> log_;
  std::optional<Gap> gap_;
};

TEST_F(FolderTest, TellsALogThatIsGoneFromOneThatNeverWas) {
  ASSERT_TRUE(TryOpen().ok());
  EXPECT_FALSE(gap_);
  ASSERT_TRUE(Append("x").ok());
  EXPECT_EQ(ReadFiles(folder_).at("audit.jsonl.lock"), "begun\n");
  log_.reset();
  std::filesystem::rename(folder_ / "audit.jsonl", folder_ / "audit.jsonl.1");
  ASSERT_TRUE(TryOpen().ok());
  ASSERT_TRUE(gap_);
  const RecordTime lost = gap_->ends;
  EXPECT_THAT(ReadFiles(folder_).at("audit.jsonl.lock"), testing::StartsWith("lost at "));
  ASSERT_TRUE(Append("x").ok());
  log_.reset();
  ASSERT_TRUE(TryOpen().ok());
  ASSERT_TRUE(gap_);
  EXPECT_EQ(gap_->ends, lost) << "a restart must not prolong the wait";
}

TEST_F(FolderTest, MakesARemovedLockFileAgainWithItsText) {
  config_.file->max_size = 1000;
  ASSERT_TRUE(TryOpen().ok());
  ASSERT_TRUE(Append("x").ok());
  std::filesystem::remove(folder_ / "audit.jsonl.lock");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Append("x").ok());  // rotates
  EXPECT_EQ(ReadFiles(folder_).at("audit.jsonl.lock"), "begun\n");
}

TEST_F(FolderTest, WritesFilesOfMode0640WhateverTheUmaskIs) {
  config_.file->max_size = 1000;
  for (const mode_t mask : {0U, 0077U, 0777U}) {
    const mode_t old = umask(mask);
    const Status opened = TryOpen();
    ASSERT_TRUE(opened.ok()) << opened;
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(Append("x").ok());
    log_.reset();
    umask(old);
    for (const auto& [name, bytes] : ReadFiles(folder_)) {
      struct stat status = {};
      ASSERT_EQ(stat((folder_ / name).c_str(), &status), 0);
      EXPECT_EQ(status.st_mode & 0777U, 0640U) << name;
      std::filesystem::remove(folder_ / name);
    }
  }
}

TEST_F(FolderTest, KeepsTheConfigurationInForceBesideTheLog) {
  config_text_ = "audit: {}\n";
  ASSERT_TRUE(TryOpen().ok());
  ASSERT_TRUE(Append("x").ok());
  const auto path = folder_ / "config-0123456789abcdef.yaml";
  std::filesystem::last_write_time(path, {});
  log_.reset();
  EXPECT_EQ(ReadFiles(folder_).at("config-0123456789abcdef.yaml"), "audit: {}\n");
  EXPECT_GT(std::filesystem::last_write_time(path),
            std::filesystem::file_time_type::clock::now() - std::chrono::hours(24 * 365))
      << "the stop sets it";
  struct stat status = {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

TEST_F(FolderTest, GoesOnAfterARestart) {
  for (std::uint64_t start = 1; start <= 3; ++start) {
    ASSERT_TRUE(TryOpen().ok());
    EXPECT_EQ(*Append("x"), start);
    log_.reset();
  }
  ExpectChained(Log());
}

TEST_F(FolderTest, RotatesAndKeepsNoMoreThanTold) {
  config_.file->max_size = 3000;
  config_.file->keep = 2;
  ASSERT_TRUE(TryOpen().ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Append("x").ok());
  log_.reset();
  EXPECT_EQ(ReadFiles(folder_).size(), 4U);  // and the lock file
  ExpectChained(Log());
  EXPECT_GE(Log().back().record.seq(), 100U);
}

TEST_F(FolderTest, LetsNoSecondWriterInEvenAfterARotationOrWithoutTheLockFile) {
  config_.file->max_size = 1000;
  ASSERT_TRUE(TryOpen().ok());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Append("x").ok());
  const auto first = std::move(log_);
  const Status second = TryOpen();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  const std::string message = "another process is writing the audit log " + config_.file->path;
  EXPECT_EQ(second.message(), message);
  std::filesystem::remove(folder_ / "audit.jsonl.lock");
  const Status without_lock_file = TryOpen();
  EXPECT_TRUE(absl::IsFailedPrecondition(without_lock_file));
  EXPECT_EQ(without_lock_file.message(), message);
}

TEST_F(FolderTest, SaysWhatIsWrongWithThePath) {
  config_.file->path = (folder_ / "missing" / "audit.jsonl").string();
  const Status missing = TryOpen();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), HasSubstr((folder_ / "missing").string() + ", "));
  config_.file->path = folder_.string();
  EXPECT_THAT(std::string(TryOpen().message()), HasSubstr(folder_.string() + " is a folder"));
  config_.file->path = (folder_ / "audit.jsonl").string();
  std::ofstream(folder_ / "elsewhere") << "";
  std::filesystem::create_symlink(folder_ / "elsewhere", config_.file->path);
  EXPECT_FALSE(TryOpen().ok());
  std::filesystem::remove(config_.file->path);
  ASSERT_EQ(mkfifo(config_.file->path.c_str(), 0600), 0);
  EXPECT_FALSE(TryOpen().ok());
}

TEST_F(FolderTest, ComesBackWhenItsFolderDoes) {
  ASSERT_TRUE(TryOpen().ok());
  ASSERT_TRUE(Append("x").ok());
  std::filesystem::remove_all(folder_);
  EXPECT_TRUE(absl::IsUnavailable(Append("x").status()));
  EXPECT_FALSE(log_->healthy());
  std::filesystem::create_directory(folder_);
  ASSERT_TRUE(AppendUntilWritable().ok());
  EXPECT_THAT(Events(Log()), ElementsAre("audit.recovered", "again"));
  ASSERT_FALSE(Log().empty());
  EXPECT_EQ(Log().front().record.seq(), 2U);
  const auto first = std::move(log_);
  EXPECT_TRUE(absl::IsFailedPrecondition(TryOpen())) << "the new folder is not locked";
}

TEST_F(FolderTest, GoesOnBesideAFileThatSomebodyRotatedAway) {
  ASSERT_TRUE(TryOpen().ok());
  ASSERT_TRUE(Append("x").ok());
  std::filesystem::rename(folder_ / "audit.jsonl", folder_ / "audit.jsonl.1");
  EXPECT_TRUE(absl::IsUnavailable(Append("x").status()));
  ASSERT_TRUE(AppendUntilWritable().ok());
  EXPECT_THAT(Events(Log()), ElementsAre("audit.recovered", "again"));
  ASSERT_FALSE(Log().empty());
  EXPECT_EQ(Log().front().record.seq(), 2U);
}

}  // namespace
}  // namespace tokend::audit
