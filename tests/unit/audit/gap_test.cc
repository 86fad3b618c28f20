#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "daemon/audit/log_note.h"
#include "tests/unit/audit/audit_fixture.h"

// What a start finds out about records that may be missing in the log.
namespace tokend::audit {
namespace {

using std::chrono::minutes;
using testing::HasSubstr;

constexpr char kFirst[] = "audit-00000000000000000001.jsonl";

class GapTest : public AuditFixture {
 protected:
  void AppendSome(int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
  }
  // One run of the daemon, which writes records a minute after the run before.
  void Write(int count) {
    loop_.fake_clock().Advance(minutes(1));
    Open();
    AppendSome(count);
    Close();
  }
  // What a start a minute later finds.
  std::optional<Gap> Found() {
    Write(0);
    return gap_;
  }
  // A log in files of a few records each.
  void WriteFiles() {
    file_.max_size = 800;
    Write(20);
    ASSERT_GT(disk_.Files().size(), 3U);
    file_.max_size = 100'000;
  }
  std::string NameOfClosed(std::size_t index) {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : disk_.Files()) {
      if (name != "audit.jsonl") names.push_back(name);
    }
    return names.at(index);
  }
  RecordTime Now() { return std::chrono::floor<std::chrono::microseconds>(loop_.clock().WallNow()); }
  RecordTime TimeOfFirst(const std::string& name) {
    return TimeOf(LinesOf(disk_.Files().at(name)).front().record);
  }
};

TEST_F(GapTest, AFirstStartInAnEmptyFolderHasNone) {
  Open();
  EXPECT_FALSE(gap_);
}

TEST_F(GapTest, ALogWithoutALossHasNone) {
  WriteFiles();
  EXPECT_FALSE(Found());
  Write(3);
  EXPECT_FALSE(Found());
}

TEST_F(GapTest, ALogThatABrokenWriteWasReplacedInHasNone) {
  Open();
  AppendSome(2);
  std::atomic<int> faults = 1;
  disk_.SetFaults([&](FakeDisk::Operation operation) {
    return operation == FakeDisk::Operation::kWrite && faults-- > 0;
  });
  EXPECT_FALSE(Intend("lost").ok());
  ASSERT_TRUE(AppendUntilWritable().ok());
  Close();
  EXPECT_TRUE(disk_.Files().contains(kFirst));
  EXPECT_FALSE(Found());
}

TEST_F(GapTest, ATornLineAtTheEndIsNone) {
  Write(3);
  disk_.Put("audit.jsonl", disk_.Files().at("audit.jsonl") + R"({"seq":4,"ti)");
  EXPECT_FALSE(Found());
  EXPECT_FALSE(Found());
}

TEST_F(GapTest, ItsFirstRecordIsOneUnlessThatIsSeqOne) {
  WriteFiles();
  disk_.Erase(NameOfClosed(0));
  const RecordTime ends = TimeOfFirst(NameOfClosed(0));
  for (int start = 0; start < 2; ++start) {
    const auto gap = Found();
    ASSERT_TRUE(gap);
    EXPECT_EQ(gap->ends, ends) << "a restart must not prolong the wait";
    EXPECT_THAT(gap->detail, HasSubstr("begins at seq"));
  }
}

TEST_F(GapTest, AFileThatDoesNotContinueTheOneBeforeIsOne) {
  WriteFiles();
  disk_.Erase(NameOfClosed(1));
  const RecordTime ends = TimeOfFirst(NameOfClosed(1));
  const auto gap = Found();
  ASSERT_TRUE(gap);
  EXPECT_EQ(gap->ends, ends);
  EXPECT_THAT(gap->detail, HasSubstr("does not continue " + NameOfClosed(0)));
}

TEST_F(GapTest, ALogMovedAwayWhileItIsWrittenIsOne) {
  Open();
  AppendSome(3);
  disk_.Erase("audit.jsonl");
  loop_.fake_clock().Advance(minutes(1));
  ASSERT_TRUE(AppendUntilWritable().ok());
  const RecordTime ends = Now();
  Close();
  for (int start = 0; start < 2; ++start) {
    const auto gap = Found();
    ASSERT_TRUE(gap);
    EXPECT_EQ(gap->ends, ends);
  }
}

TEST_F(GapTest, AnUnreadableLineThatIsNotAFilesLastIsOne) {
  Write(3);
  Write(1);
  std::string bytes = disk_.Files().at("audit.jsonl");
  const RecordTime ends = TimeOf(LinesOf(bytes).back().record);
  const std::size_t third = bytes.find("{\"seq\":3");
  bytes.replace(third, 1, "x");
  disk_.Put("audit.jsonl", bytes);
  for (int start = 0; start < 2; ++start) {
    const auto gap = Found();
    ASSERT_TRUE(gap);
    EXPECT_EQ(gap->ends, ends);
    EXPECT_THAT(gap->detail, HasSubstr("unreadable"));
  }
}

TEST_F(GapTest, UnreadableLinesAtTheEndAreOneUntilTheNextRecord) {
  Write(3);
  disk_.Put("audit.jsonl", disk_.Files().at("audit.jsonl") + "x\ny\n");
  const auto gap = Found();
  ASSERT_TRUE(gap);
  EXPECT_EQ(gap->ends, Now());
  const RecordTime ends = TimeOfFirst("audit.jsonl");
  EXPECT_EQ(Found()->ends, ends);
}

TEST_F(GapTest, AMissingLineIsOne) {
  Write(2);
  Write(2);
  std::string bytes = disk_.Files().at("audit.jsonl");
  const RecordTime ends = TimeOf(LinesOf(bytes)[2].record);
  const std::size_t second = bytes.find('\n') + 1;
  bytes.erase(second, bytes.find('\n', second) + 1 - second);
  disk_.Put("audit.jsonl", bytes);
  EXPECT_EQ(Found()->ends, ends);
}

TEST_F(GapTest, TheLastOneCounts) {
  WriteFiles();
  disk_.Erase(NameOfClosed(0));
  Write(2);
  const RecordTime ends = TimeOf(Log().back().record);
  std::string bytes = disk_.Files().at("audit.jsonl");
  bytes.insert(bytes.rfind("{\"seq\":"), "x\n");
  disk_.Put("audit.jsonl", bytes);
  EXPECT_EQ(Found()->ends, ends);
}

TEST_F(GapTest, ALogThatIsGoneIsOneThoughARestartDoesNotProlongIt) {
  Write(3);
  disk_.Erase("audit.jsonl");
  Write(0);  // no record follows
  const RecordTime lost = Now();
  EXPECT_EQ(gap_->ends, lost);
  EXPECT_EQ(Found()->ends, lost);
  Write(3);
  EXPECT_EQ(gap_->ends, lost);
  EXPECT_EQ(Found()->ends, lost);
  disk_.Erase("audit.jsonl");
  const auto again = Found();
  EXPECT_EQ(again->ends, Now()) << "it is gone once more";
}

TEST_F(GapTest, ALogThatWasEmptiedIsGone) {
  Write(3);
  disk_.Put("audit.jsonl", "");
  const auto gap = Found();
  ASSERT_TRUE(gap);
  EXPECT_EQ(gap->ends, Now());
}

TEST_F(GapTest, AnOpenFileThatAloneIsGoneIsOne) {
  WriteFiles();
  disk_.Erase("audit.jsonl");
  const auto gap = Found();
  ASSERT_TRUE(gap);
  const RecordTime lost = Now();
  EXPECT_EQ(gap->ends, lost);
  Write(3);
  EXPECT_EQ(Found()->ends, lost);
}

TEST_F(GapTest, ACrashInTheMiddleOfARotationIsNone) {
  Write(3);
  const std::string bytes = disk_.Files().at("audit.jsonl");
  disk_.Erase("audit.jsonl");
  disk_.Put(kFirst, bytes);
  disk_.Put("audit.jsonl.new", "");
  EXPECT_FALSE(Found());
  EXPECT_FALSE(Found());
}

TEST_F(GapTest, AStartThatWroteNoRecordLeavesNoLogToLose) {
  Write(0);
  disk_.Erase("audit.jsonl");
  EXPECT_FALSE(Found());
}

TEST_F(GapTest, NoRecordIsAnsweredBeforeTheLockFileSaysThatThereIsALog) {
  Open();
  disk_.SetFaults([](FakeDisk::Operation operation) { return operation == FakeDisk::Operation::kNote; });
  EXPECT_FALSE(Append(EventOf("x")).ok());
  disk_.SetFaults(nullptr);
  ASSERT_TRUE(AppendUntilWritable().ok());
  EXPECT_TRUE(ParseNote(disk_.Note()).begun);
}

TEST_F(GapTest, EndsNowAtTheLatestWhereTheClockWasSetBack) {
  Write(3);
  disk_.PutNote(ToText(LogNote{.begun = true, .lost_at = Now() + minutes(60)}));
  const auto gap = Found();
  ASSERT_TRUE(gap);
  EXPECT_EQ(gap->ends, Now());
}

TEST(LogNoteTest, IsReadBackFromItsText) {
  const RecordTime time = std::chrono::sys_days(std::chrono::year(2026) / 1 / 2) + minutes(3);
  for (const LogNote& note : {LogNote{}, LogNote{.begun = true}, LogNote{.begun = false, .lost_at = time},
                              LogNote{.begun = true, .lost_at = time}}) {
    EXPECT_EQ(ParseNote(ToText(note)), note) << ToText(note);
  }
}

}  // namespace
}  // namespace tokend::audit
