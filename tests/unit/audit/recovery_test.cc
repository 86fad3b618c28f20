#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>

#include "tests/unit/audit/audit_fixture.h"

namespace tokend::audit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Operation = FakeDisk::Operation;

class RecoveryTest : public AuditFixture {
 protected:
  // A log of three records.
  void WriteThree() {
    Open();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
    Close();
  }
  std::string open_file() { return disk_.Files().at("audit.jsonl"); }

  std::mt19937_64 random_{7};
};

TEST_F(RecoveryTest, GoesOnWhereTheLastProcessStopped) {
  WriteThree();
  Open();
  EXPECT_EQ(*Append(EventOf("x")), 4U);
  Close();
  ExpectChained(Log());
  EXPECT_EQ(disk_.Files().size(), 1U);
}

TEST_F(RecoveryTest, SetsATornLineAside) {
  WriteThree();
  const std::string torn = open_file() + R"({"seq":4,"time":"2026-01-)";
  disk_.Put("audit.jsonl", torn);
  Open();
  EXPECT_EQ(*Append(EventOf("y")), 5U);
  Close();
  const auto lines = Log();
  ExpectChained(lines);
  EXPECT_THAT(Events(lines), ElementsAre("x", "x", "x", "audit.recovered", "y"));
  EXPECT_THAT(lines[3].record.detail(), HasSubstr("audit-00000000000000000001.jsonl"));
  EXPECT_EQ(disk_.Files().at("audit-00000000000000000001.jsonl"), torn);
}

TEST_F(RecoveryTest, TakesALineWithoutItsNewlineForTorn) {
  WriteThree();
  disk_.Put("audit.jsonl", open_file().substr(0, open_file().size() - 1));
  Open();
  Close();
  ExpectChained(Log());
  EXPECT_THAT(LogEvents(), ElementsAre("x", "x", "audit.recovered"));
}

TEST_F(RecoveryTest, SetsAFileWithoutAnyRecordAside) {
  for (const std::string& junk : {std::string(5, '\0'), std::string("{}\n"), std::string(100'000, 'x'),
                                  std::string("\n\n"), std::string("[1]\n")}) {
    disk_ = FakeDisk();
    disk_.Put("audit.jsonl", junk);
    Open();
    EXPECT_EQ(*Append(EventOf("y")), 2U);
    Close();
    ExpectChained(Log());
    EXPECT_THAT(LogEvents(), ElementsAre("audit.recovered", "y"));
    EXPECT_EQ(disk_.Files().at("audit-00000000000000000001.jsonl"), junk);
  }
}

// If recovery dropped the lines after a change, an intruder who changes one line could make the daemon forget
// them.
TEST_F(RecoveryTest, LeavesAChangedLineAndAllBehindItInTheLogForEveryoneToSee) {
  WriteThree();
  std::string changed = open_file();
  changed[changed.find("\"x\"") + 1] = 'z';
  disk_.Put("audit.jsonl", changed);
  Open();
  EXPECT_EQ(*Append(EventOf("y")), 5U);
  Close();
  const auto lines = Log();
  EXPECT_THAT(Events(lines), ElementsAre("z", "x", "x", "audit.recovered", "y"));
  EXPECT_THAT(lines[3].record.detail(), HasSubstr("breaks the chain after seq 1"));
  ExpectChained({lines.begin() + 1, lines.end()});
  EXPECT_EQ(disk_.Files().at("audit-00000000000000000001.jsonl"), changed);
}

TEST_F(RecoveryTest, NamesAMissingLine) {
  WriteThree();
  std::string bytes = open_file();
  const std::size_t second = bytes.find('\n') + 1;
  bytes.erase(second, bytes.find('\n', second) + 1 - second);
  disk_.Put("audit.jsonl", bytes);
  Open();
  EXPECT_EQ(*Append(EventOf("y")), 5U);
  EXPECT_THAT(Log()[2].record.detail(), HasSubstr("breaks the chain after seq 1"));
}

TEST_F(RecoveryTest, EndsWhatACrashLeftOpen) {
  Open();
  Result<IntentReceipt> ended = Intend("ended");
  ASSERT_TRUE(Intend("open").ok());
  ASSERT_TRUE(End(*std::move(ended), "ended", event::kTokenRefused).ok());
  Kill(random_);
  loop_.fake_clock().Advance(std::chrono::seconds(5));
  Open();
  Close();
  const auto lines = Log();
  ExpectChained(lines);
  ExpectEachIntentEndedOnce(lines);
  const Record& end = lines.back().record;
  EXPECT_EQ(end.event(), "token.unknown");
  EXPECT_EQ(end.reason(), "daemon_stopped");
  EXPECT_EQ(end.intent(), 2U);
  EXPECT_EQ(end.request_id(), "open");
  EXPECT_EQ(end.grant(), "mobile-ci");
  EXPECT_EQ(end.trace(), IntentOf("open").trace());
  EXPECT_EQ(end.caller().SerializeAsString(), IntentOf("open").caller().SerializeAsString());
  EXPECT_EQ(end.target().SerializeAsString(), IntentOf("open").target().SerializeAsString());

  ASSERT_EQ(past_.size(), 1U);
  EXPECT_EQ(past_[0].texts.Read().request_id, "open");
  EXPECT_EQ(past_[0].texts.Read().target.description, "for \"open\"");
  EXPECT_EQ(past_[0].ended_by, end.seq());
  EXPECT_EQ(past_[0].time, TimeOf(lines[1].record));
  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_[0].texts.Read().request_id, "open");

  Open();
  Close();
  EXPECT_EQ(ended_.size(), 0U);
  EXPECT_EQ(Log().size(), lines.size()) << "ended twice";
}

TEST_F(RecoveryTest, FindsOpenIntentsInClosedFiles) {
  file_.max_size = 1500;
  file_.keep = 100;
  Open();
  ASSERT_TRUE(Append(EventOf(event::kDaemonStarted)).ok());
  Result<IntentReceipt> late = Intend("late");
  ASSERT_TRUE(Intend("open").ok());
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
  ASSERT_TRUE(End(*std::move(late), "late", event::kTokenIssued).ok());
  Kill(random_);
  Open();
  ASSERT_TRUE(Append(EventOf(event::kDaemonStarted)).ok());
  Close();
  EXPECT_GT(disk_.Files().size(), 3U);
  ExpectChained(Log());
  ExpectEachIntentEndedOnce(Log());
  ASSERT_EQ(past_.size(), 2U);
  EXPECT_EQ(past_[0].texts.Read().request_id, "late");
  EXPECT_EQ(past_[1].texts.Read().request_id, "open");
}

TEST_F(RecoveryTest, RemembersWhatMayHaveMadeATokenForAsLongAsItIsTold) {
  Open();
  for (const char* event :
       {event::kTokenIssued, event::kTokenWithheld, event::kTokenUnknown, event::kTokenRefused}) {
    loop_.fake_clock().Advance(std::chrono::minutes(4));
    Result<IntentReceipt> intent = Intend(event);
    ASSERT_TRUE(End(*std::move(intent), event, event).ok());
  }
  Close();
  Open();
  ASSERT_EQ(past_.size(), 2U);
  EXPECT_EQ(past_[0].texts.Read().request_id, "token.withheld");
  EXPECT_EQ(past_[0].intent, 3U);
  EXPECT_EQ(past_[0].ended_by, 4U);
  EXPECT_EQ(past_[1].texts.Read().request_id, "token.unknown");
  EXPECT_EQ(past_[1].texts.Read().caller.name, "dev");
  EXPECT_EQ(past_[1].texts.Read().caller.on_behalf_of, "ci");
  EXPECT_EQ(past_[1].texts.Read().target.organization, "acme");
  EXPECT_EQ(past_[1].texts.Read().target.application, "ios-app");
  EXPECT_THAT(past_[1].texts.Read().target.scopes, ElementsAre("sdk"));
  EXPECT_EQ(past_[1].texts.Read().digest, "1:of token.unknown");
}

// The log of a relay. One request_id in it was asked again.
class AskedAgainTest : public RecoveryTest {
 protected:
  void Ask(const char* event, std::uint64_t resolves = 0) {
    Result<IntentReceipt> intent = Intend("id", resolves);
    ASSERT_TRUE(End(*std::move(intent), "id", event, resolves).ok());
  }
  void Pass(std::chrono::minutes time) { loop_.fake_clock().Advance(time); }
  void Reopen() {
    Close();
    Open();
  }
};

TEST_F(AskedAgainTest, ARequestIdIsKnownOnceAndFromItsFirstIntentOn) {
  Open();
  const RecordTime first = std::chrono::floor<std::chrono::microseconds>(loop_.clock().WallNow());
  Ask(event::kTokenUnknown);
  Pass(std::chrono::minutes(3));
  Ask(event::kTokenRefused, 1);
  Ask(event::kTokenUnknown, 1);
  Pass(std::chrono::minutes(3));
  ASSERT_TRUE(Intend("id", 1).ok());
  Kill(random_);
  Open();
  Close();
  const Record end = Log().back().record;
  EXPECT_EQ(end.event(), "token.unknown");
  EXPECT_EQ(end.intent(), 7U);
  EXPECT_EQ(end.resolves(), 1U);
  ASSERT_EQ(past_.size(), 1U);
  EXPECT_EQ(past_[0].intent, 1U);
  EXPECT_EQ(past_[0].time, first);
  EXPECT_EQ(past_[0].ended_by, 8U);
}

TEST_F(AskedAgainTest, WhatWasIssuedIsKnownToo) {
  Open();
  Ask(event::kTokenUnknown);
  Ask(event::kTokenIssued, 1);
  Reopen();
  ASSERT_EQ(past_.size(), 1U);
  EXPECT_EQ(past_[0].intent, 1U);
  EXPECT_EQ(past_[0].ended_by, 4U);
}

TEST_F(AskedAgainTest, IsForgottenWithItsFirstIntent) {
  Open();
  Ask(event::kTokenUnknown);
  Pass(std::chrono::minutes(9));
  Ask(event::kTokenUnknown, 1);
  Reopen();
  EXPECT_EQ(past_.size(), 1U);
  Pass(std::chrono::minutes(2));
  Reopen();
  EXPECT_THAT(past_, IsEmpty());
}

TEST_F(AskedAgainTest, IsKnownAlsoWhereItsFirstIntentWasRefusedLate) {
  Open();
  Result<IntentReceipt> late = Intend("id");
  Ask(event::kTokenUnknown, 1);
  Ask(event::kTokenUnknown, 1);
  ASSERT_TRUE(End(*std::move(late), "id", event::kTokenRefused).ok());
  Reopen();
  ASSERT_EQ(past_.size(), 1U);
  EXPECT_EQ(past_[0].intent, 1U);
  EXPECT_EQ(past_[0].ended_by, 5U);
}

TEST_F(AskedAgainTest, IsKnownOnceAlsoWhereItsIntentsAreInSeveralFiles) {
  file_.max_size = 1500;
  file_.keep = 100;
  Open();
  ASSERT_TRUE(Append(EventOf(event::kDaemonStarted)).ok());
  for (int i = 0; i < 4; ++i) {
    Ask(event::kTokenUnknown, i == 0 ? 0 : 2);
    for (int filler = 0; filler < 10; ++filler) ASSERT_TRUE(Append(EventOf("x")).ok());
  }
  Reopen();
  EXPECT_GT(disk_.Files().size(), 3U);
  ASSERT_EQ(past_.size(), 1U);
  EXPECT_EQ(past_[0].intent, 2U);
}

TEST_F(RecoveryTest, SkipsWhatALaterFileBeginsAgain) {
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  // The sync fails, so the intent's line is in the file but is not part of the log.
  std::atomic<int> faults = 1;
  disk_.SetFaults([&](Operation operation) { return operation == Operation::kSync && faults-- > 0; });
  EXPECT_FALSE(Intend("void").ok());
  ASSERT_TRUE(AppendUntilWritable().ok());
  Close();
  EXPECT_THAT(disk_.Files().at("audit-00000000000000000001.jsonl"), HasSubstr("void"));
  Open();
  Close();
  EXPECT_THAT(LogEvents(), ElementsAre("x", "audit.recovered", "config.reloaded"));
  EXPECT_THAT(past_, IsEmpty());
}

TEST_F(RecoveryTest, SurvivesACrashInTheMiddleOfARotation) {
  WriteThree();
  const std::string bytes = open_file();
  for (const bool made : {false, true}) {
    disk_ = FakeDisk();
    disk_.Put("audit-00000000000000000001.jsonl", bytes);
    disk_.Put("audit.jsonl.new", made ? "" : "{\"seq\":4");
    if (made) disk_.Put("audit.jsonl", "");
    Open();
    EXPECT_EQ(*Append(EventOf("y")), 4U);
    Close();
    ExpectChained(Log());
    EXPECT_THAT(LogEvents(), ElementsAre("x", "x", "x", "y"));
    EXPECT_EQ(disk_.Files().size(), 2U);
  }
}

TEST_F(RecoveryTest, SetsAsideUnderANameThatIsFree) {
  WriteThree();
  const std::string torn = open_file() + "torn";
  disk_.Put("audit.jsonl", torn);
  disk_.Put("audit-00000000000000000001.jsonl", "taken");
  Open();
  Close();
  EXPECT_EQ(disk_.Files().at("audit-00000000000000000001.jsonl"), "taken");
  EXPECT_EQ(disk_.Files().at("audit-00000000000000000001-r.jsonl"), torn);
}

TEST_F(RecoveryTest, DoesNotStartBesideAnotherWriter) {
  Open();
  auto first = std::move(log_);
  EXPECT_TRUE(absl::IsFailedPrecondition(TryOpen()));
}

TEST_F(RecoveryTest, DoesNotStartWhereItCannotWrite) {
  disk_.SetFaults([](Operation operation) { return operation == Operation::kCreate; });
  EXPECT_FALSE(TryOpen().ok());
}

// Makes random calls, faults and crashes. After each crash the log must hold what its callers were told.
class CrashTest : public RecoveryTest {
 protected:
  struct Call {
    std::string request_id;
    bool intent = false;
    std::optional<std::uint64_t> told;  // the sequence number that the caller was told
    bool failed = false;
    std::size_t failed_at = 0;
  };

  std::size_t Dice(std::size_t sides) { return static_cast<std::size_t>(random_() % sides); }

  void Intend() {
    const std::size_t index = calls_.size();
    calls_.push_back(Call{"r" + std::to_string(next_id_++), true, {}, false, 0});
    log_->AppendIntent(IntentOf(calls_[index].request_id), [this, index](Result<IntentReceipt> intent) {
      if (dead_) return;
      if (intent.ok()) {
        Answered(index, intent->sequence());
        receipts_.push_back(*std::move(intent));
      } else {
        Answered(index, intent.status());
      }
    });
  }

  void EndOne() {
    if (receipts_.empty()) return;
    std::swap(receipts_[Dice(receipts_.size())], receipts_.back());
    IntentReceipt receipt = std::move(receipts_.back());
    receipts_.pop_back();
    const std::size_t index = calls_.size();
    calls_.push_back(Call{"r" + std::to_string(next_id_++), false, {}, false, 0});
    Record record = IntentOf(calls_[index].request_id);
    record.set_event(Dice(2) == 0 ? event::kTokenUnknown : event::kTokenRefused);
    log_->AppendEnd(std::move(receipt), std::move(record), nullptr, [this, index](Result<std::uint64_t> end) {
      if (dead_) return;
      EXPECT_TRUE(end.ok()) << "an end was refused";
      Answered(index, std::move(end));
    });
  }

  void Answered(std::size_t index, Result<std::uint64_t> result) {
    EXPECT_FALSE(calls_[index].told || calls_[index].failed) << "answered twice";
    if (result.ok()) {
      calls_[index].told = *result;
      last_told_ = ++answers_;
    } else {
      calls_[index].failed = true;
      calls_[index].failed_at = ++answers_;
    }
  }

  void SetRandomFaults() {
    const std::uint64_t odds = 2 + Dice(8);
    auto dice = std::make_shared<std::mt19937_64>(random_());
    disk_.SetFaults([dice, odds](Operation) { return (*dice)() % odds == 0; });
    if (Dice(3) == 0) disk_.SetSpace(Dice(3000));
  }

  void Run() {
    dead_ = false;
    calls_.clear();
    receipts_.clear();
    answers_ = last_told_ = 0;
    for (std::size_t step = Dice(150); step > 0; --step) {
      switch (Dice(8)) {
        case 0:
        case 1:
        case 2:
          Intend();
          break;
        case 3:
        case 4:
          EndOne();
          break;
        case 5: {
          Record note = EventOf(event::kRequestDenied);
          note.mutable_caller()->set_name(std::to_string(Dice(3)));
          log_->NoteRefusal(note, Allowance::kOwn);
          break;
        }
        case 6:
          loop_.RunPending();
          if (Dice(4) == 0) SetRandomFaults();
          break;
        default:
          if (Dice(2) == 0) {
            disk_.SetFaults(nullptr);
            disk_.SetSpace({});
            AwaitAll();
          }
      }
    }
  }

  void AwaitAll() {
    const std::size_t expected = calls_.size();
    EXPECT_TRUE(loop_.RunUntil([&] { return answers_ == expected; }));
  }

  void Crash() {
    const bool stop_first = Dice(4) == 0;
    if (stop_first) {
      disk_.SetFaults(nullptr);
      disk_.SetSpace({});
      AwaitAll();
      log_->Stop();
    }
    loop_.RunPending();
    dead_ = true;
    Kill(random_);
  }

  void Check() {
    const auto lines = Log();
    ExpectChained(lines);
    ExpectEachIntentEndedOnce(lines);
    std::map<std::uint64_t, std::string> by_sequence;
    std::set<std::string> intended;
    for (const CheckedLine& line : lines) {
      by_sequence[line.record.seq()] = line.record.request_id();
      if (line.record.event() == event::kTokenIntended) intended.insert(line.record.request_id());
    }
    for (const Call& call : calls_) {
      if (call.told) {
        EXPECT_EQ(by_sequence[*call.told], call.request_id) << "told durable, and lost";
      }
      // While nothing can be written, a line that a failed call left behind stays in the file.
      if (call.failed && call.failed_at < last_told_) {
        EXPECT_EQ(intended.count(call.request_id), 0U) << "told failed, and there";
      }
    }
    EXPECT_EQ(disk_.Files().count("audit.jsonl.new"), 0U);
    // A crash in the middle of a repeated repair may leave no open file and none that replaces it. That looks
    // as if somebody had removed the open file.
    EXPECT_TRUE(!gap_ || gap_->detail.ends_with("was gone")) << gap_->detail;
  }

  std::size_t next_id_ = 0;
  std::vector<Call> calls_;
  std::vector<IntentReceipt> receipts_;
  std::size_t answers_ = 0;
  std::size_t last_told_ = 0;
  bool dead_ = false;
};

TEST_F(CrashTest, KeepsItsPromisesThroughFaultsAndCrashes) {
  const char* given = std::getenv("TOKEND_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  SCOPED_TRACE("TOKEND_TEST_SEED=" + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  random_.seed(seed);
  options_.timing.stop_bound = std::chrono::milliseconds(5);
  file_.keep = 100'000;
  for (int log = 0; log < 6 && !HasFailure(); ++log) {
    disk_ = FakeDisk();
    file_.max_size = 1000 + Dice(30'000);
    Open();
    for (int crash = 0; crash < 12 && !HasFailure(); ++crash) {
      Run();
      Crash();
      loop_.fake_clock().Advance(std::chrono::seconds(1));
      Open();
      if (Dice(2) == 0) {
        ASSERT_TRUE(Append(EventOf(event::kDaemonStarted)).ok());
      }
      Check();
    }
    log_.reset();
    loop_.RunPending();
  }
}

}  // namespace
}  // namespace tokend::audit
