#include "daemon/audit/config_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/audit/audit_fixture.h"

namespace tokend::audit {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using testing::UnorderedElementsAre;

std::string FingerprintOf(int number) { return absl::StrCat(absl::Hex(number, absl::kZeroPad16)); }
std::string FileOf(const std::string& fingerprint) { return "config-" + fingerprint + ".yaml"; }

bool IsConfig(const std::string& name) { return name.starts_with("config-"); }

// A log with the configurations that its records name.
class KeptConfigs : public AuditFixture {
 protected:
  KeptConfigs() {
    options_.config_text = "first: 1\n";
    options_.keep_for = minutes(1);
  }

  std::vector<std::string> ConfigNames() {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : disk_.Files()) {
      if (IsConfig(name)) names.push_back(name);
    }
    return names;
  }

  // The files of the configurations that records name.
  std::set<std::string> Named() {
    std::set<std::string> names;
    for (const CheckedLine& line : Log()) names.insert(FileOf(line.record.config()));
    return names;
  }

  // Whether the file stands, or no record names it. The log's thread may remove files meanwhile, those of the
  // log first.
  bool StandsWhileNamed(const std::string& name) {
    return disk_.Files().count(name) == 1 || Named().count(name) == 0;
  }

  const std::string first_ = options_.config;
  const std::string second_ = FingerprintOf(2);
  std::mt19937_64 random_{11};
};

TEST_F(KeptConfigs, WhatWasInForceStandsBesideTheLogBeforeTheFirstRecordThatNamesIt) {
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  ASSERT_TRUE(log_->UseConfig(second_, "second: 2\n").ok());
  ASSERT_TRUE(Append(EventOf("x")).ok());
  Kill(random_);
  const Files files = disk_.Files();
  EXPECT_EQ(files.at(FileOf(first_)), "first: 1\n");
  EXPECT_EQ(files.at(FileOf(second_)), "second: 2\n");
  const auto lines = Log();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].record.config(), first_);
  EXPECT_EQ(lines[1].record.config(), second_);
}

// A crash at every moment of the start and of the change.
TEST_F(KeptConfigs, ACrashLeavesNoRecordThatNamesAConfigurationWithoutItsWholeFile) {
  const std::map<std::string, std::string> texts = {{first_, std::string(5000, '1')},
                                                    {second_, std::string(5000, '2')}};
  options_.config_text = texts.at(first_);
  options_.timing.config_bound = std::chrono::milliseconds(20);  // while the disk fails, it is waited for
  for (int operations = 0; operations < 40; ++operations) {
    FakeDisk disk;
    disk_ = disk;
    int left = operations;
    disk_.SetFaults([&left](FakeDisk::Operation) { return --left < 0; });
    if (TryOpen().ok()) {
      Append(EventOf("x")).IgnoreError();
      log_->UseConfig(second_, texts.at(second_)).IgnoreError();
      Append(EventOf("x")).IgnoreError();
    }
    if (log_ != nullptr) Kill(random_);
    const Files files = disk_.Files();
    for (const CheckedLine& line : Log()) {
      ASSERT_EQ(files.count(FileOf(line.record.config())), 1U) << "after " << operations << " operations";
      EXPECT_EQ(files.at(FileOf(line.record.config())), texts.at(line.record.config()));
    }
  }
}

TEST_F(KeptConfigs, RecordsNameTheOldConfigurationWhereTheNewOneCannotBeKept) {
  Open();
  disk_.SetSpace(0);
  EXPECT_FALSE(log_->UseConfig(second_, "second: 2\n").ok());
  disk_.SetSpace(std::nullopt);
  ASSERT_TRUE(Append(EventOf("x")).ok());
  EXPECT_TRUE(log_->UseConfig(second_, "second: 2\n").ok());
  ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  EXPECT_EQ(Log()[0].record.config(), first_);
  EXPECT_EQ(Log()[1].record.config(), second_);
}

TEST_F(KeptConfigs, AFileThatSomebodyChangedIsWrittenAnewAtTheStart) {
  disk_.Put(FileOf(first_), "changed");
  Open();
  Close();
  EXPECT_EQ(disk_.Files().at(FileOf(first_)), "first: 1\n");
}

TEST_F(KeptConfigs, AFolderThatComesBackEmptyGetsTheConfigurationInForceAgain) {
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  for (const auto& [name, bytes] : disk_.Files()) disk_.Erase(name);
  EXPECT_FALSE(Append(EventOf("x")).ok());
  ASSERT_TRUE(AppendUntilWritable().ok());
  EXPECT_EQ(disk_.Files().at(FileOf(first_)), "first: 1\n");
  Close();
}

TEST_F(KeptConfigs, TheMtimeSaysWhenAConfigurationWasLastInForce) {
  const auto now = [this] { return std::chrono::floor<FileTime::duration>(loop_.clock().WallNow()); };
  Open();
  loop_.fake_clock().Advance(hours(1));
  ASSERT_TRUE(log_->UseConfig(second_, "second: 2\n").ok());
  const FileTime replaced = now();
  ASSERT_TRUE(Append(EventOf("x")).ok());  // the log's thread has then looked at the clock
  loop_.fake_clock().Advance(hours(1));
  Close();
  EXPECT_EQ(disk_.ModifiedAt(FileOf(first_)), replaced);
  EXPECT_EQ(disk_.ModifiedAt(FileOf(second_)), now()) << "at the stop";
}

TEST_F(KeptConfigs, AFileGoesWhenTheOldestKeptLogFileBeganAfterItWasLastInForce) {
  file_.max_size = 2000;
  file_.keep = 2;
  Open();
  for (int config = 2; config < 10; ++config) {
    for (int i = 0; i < 12; ++i) {
      loop_.fake_clock().Advance(minutes(2));
      ASSERT_TRUE(Append(EventOf("x")).ok());
      for (const std::string& name : Named()) ASSERT_TRUE(StandsWhileNamed(name)) << name;
    }
    ASSERT_TRUE(log_->UseConfig(FingerprintOf(config), "x: 1\n").ok());
  }
  Close();
  EXPECT_LE(ConfigNames().size(), 4U) << "three files of the log are kept";
}

TEST_F(KeptConfigs, ARequestThatBeganBeforeAReloadMayNameItsConfigurationAfterARotation) {
  file_.max_size = 1500;
  file_.keep = 1;
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  ASSERT_TRUE(log_->UseConfig(second_, "second: 2\n").ok());
  for (int i = 0; i < 200; ++i) {
    loop_.fake_clock().Advance(std::chrono::seconds(1));
    Record record = EventOf("x");
    if (i < 40) record.set_config(first_);
    ASSERT_TRUE(Append(record).ok());
    ASSERT_TRUE(StandsWhileNamed(FileOf(first_))) << "after " << i << " seconds";
  }
  EXPECT_EQ(disk_.Files().count(FileOf(first_)), 0U);
  Close();
}

TEST_F(KeptConfigs, AreAtMost64FilesThoseInForceLastFirst) {
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  for (int i = 1; i <= 100; ++i) {
    loop_.fake_clock().Advance(minutes(2));
    ASSERT_TRUE(log_->UseConfig(FingerprintOf(i), "x: 1\n").ok());
  }
  Close();
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  const auto names = ConfigNames();
  EXPECT_EQ(names.size(), ConfigFiles::kMaxFiles);
  EXPECT_EQ(disk_.Files().count(FileOf(first_)), 1U) << "is in force again";
  EXPECT_EQ(disk_.Files().count(FileOf(FingerprintOf(37))), 0U);
  EXPECT_EQ(disk_.Files().count(FileOf(FingerprintOf(38))), 1U);
}

TEST_F(KeptConfigs, AreAtMost64MiBTogetherBesideTheOneInForce) {
  constexpr std::size_t kLarge = std::size_t{15} << 20U;
  for (int i = 1; i <= 6; ++i) {
    disk_.Put(FileOf(FingerprintOf(i)), std::string(kLarge, 'x'));
    disk_.SetModifiedAt(FileOf(FingerprintOf(i)),
                        std::chrono::floor<FileTime::duration>(loop_.clock().WallNow()) + minutes(i));
  }
  disk_.Put("config-not-one-of-ours.yaml", "x");
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  EXPECT_THAT(ConfigNames(), UnorderedElementsAre(FileOf(first_), FileOf(FingerprintOf(3)),
                                                  FileOf(FingerprintOf(4)), FileOf(FingerprintOf(5)),
                                                  FileOf(FingerprintOf(6)), "config-not-one-of-ours.yaml"));
}

}  // namespace
}  // namespace tokend::audit
