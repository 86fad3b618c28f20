#include "daemon/audit/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/sha256.h"
#include "tests/unit/audit/audit_fixture.h"

namespace tokend::audit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Operation = FakeDisk::Operation;

class AuditLogTest : public AuditFixture {};

TEST_F(AuditLogTest, NumbersTimesAndChainsEveryRecord) {
  Open();
  EXPECT_EQ(*Append(EventOf(event::kDaemonStarted)), 1U);
  Result<IntentReceipt> intent = Intend("r1");
  ASSERT_TRUE(intent.ok());
  EXPECT_EQ(intent->sequence(), 2U);
  EXPECT_EQ(*End(*std::move(intent), "r1", event::kTokenRefused), 3U);
  Close();

  const auto lines = Log();
  ExpectChained(lines);
  EXPECT_THAT(Events(lines), ElementsAre("daemon.started", "token.intended", "token.refused"));
  EXPECT_EQ(lines[0].record.prev(), std::string(64, '0'));
  EXPECT_EQ(lines[2].record.intent(), 2U);
  EXPECT_THAT(lines[0].text, HasSubstr(R"("time":"2026-01-01T00:00:00.000000Z")"));
  for (const CheckedLine& line : lines) EXPECT_EQ(line.record.config(), "0123456789abcdef");
}

TEST_F(AuditLogTest, AnswersOnlyWhatIsDurable) {
  Open();
  std::atomic<bool> let_sync = false;
  std::promise<void> syncing;
  disk_.SetFaults([&](Operation operation) {
    if (operation == Operation::kSync && !let_sync) {
      syncing.set_value();
      while (!let_sync) std::this_thread::yield();
    }
    return false;
  });
  bool answered = false;
  log_->Append(EventOf("x"), [&](const Result<std::uint64_t>&) { answered = true; });
  syncing.get_future().wait();
  loop_.RunPending();
  EXPECT_FALSE(answered);
  let_sync = true;
  EXPECT_TRUE(loop_.RunUntil([&] { return answered; }));
}

TEST_F(AuditLogTest, SyncsAndAnswersABatchAtOnce) {
  Open();
  std::atomic<bool> let_sync = false;
  std::promise<void> syncing;
  std::atomic<bool> first = true;
  disk_.SetFaults([&](Operation operation) {
    if (operation == Operation::kSync && first.exchange(false)) {
      syncing.set_value();
      while (!let_sync) std::this_thread::yield();
    }
    return false;
  });
  int answered = 0;
  const auto count = [&](const Result<std::uint64_t>& result) { answered += result.ok() ? 1 : 0; };
  log_->Append(EventOf("x"), count);
  syncing.get_future().wait();
  const std::size_t syncs = disk_.syncs();
  for (int i = 0; i < 500; ++i) log_->Append(EventOf("x"), count);
  let_sync = true;
  EXPECT_TRUE(loop_.RunUntil([&] { return answered == 501; }));
  EXPECT_EQ(disk_.syncs(), syncs + 1);
  ExpectChained(Log());
}

TEST_F(AuditLogTest, NamesATokenByItsFingerprintItsKeyAndTheIdsAsUpstreamAnswered) {
  Open();
  Token token = TokenOf("very-secret-bearer");
  token.organization = "5f0c1a2b3c4d5e6f7a8b9c0e";
  token.application = "5f0c1a2b3c4d5e6f7a8b9c0f";
  const auto issue = [&](const std::string& id) {
    Result<IntentReceipt> intent = Intend(id);
    const Result<IssuedReceipt> issued = Wait<IssuedReceipt>(
        [&](auto done) { log_->AppendIssued(*std::move(intent), IntentOf(id), token, std::move(done)); });
    EXPECT_TRUE(issued.ok());
    return issued->sequence();
  };
  EXPECT_EQ(issue("r1"), 2U);
  const auto replayed = Wait<IssuedReceipt>(
      [&](auto done) { log_->AppendReplayed(1, IntentOf("r1"), token, std::move(done)); });
  EXPECT_EQ(replayed->sequence(), 3U);
  Close();
  const auto lines = Log();
  EXPECT_EQ(lines[1].record.token().id(), token.id);
  EXPECT_THAT(lines[1].record.token().fingerprint(), testing::MatchesRegex("hmac-sha256:[0-9a-f]{64}"));
  EXPECT_EQ(lines[1].record.token().organization(), token.organization);
  EXPECT_EQ(lines[1].record.token().application(), token.application);
  EXPECT_THAT(lines[1].record.token().fingerprint_key(), testing::MatchesRegex("[0-9a-f]{8}"));
  EXPECT_EQ(lines[2].record.token().fingerprint_key(), lines[1].record.token().fingerprint_key());
  EXPECT_EQ(lines[2].record.event(), "token.replayed");
  EXPECT_EQ(lines[2].record.intent(), 1U);
  EXPECT_EQ(lines[2].record.token().fingerprint(), lines[1].record.token().fingerprint());
  for (const auto& [name, bytes] : disk_.Files()) EXPECT_THAT(bytes, testing::Not(HasSubstr("very-secret")));
}

TEST_F(AuditLogTest, CountsAlikeNotesAndWritesThemUnasked) {
  options_.timing.aggregation_window = std::chrono::milliseconds(200);
  Open();
  Record denial = IntentOf("r1");
  denial.set_event(event::kRequestDenied);
  for (int i = 0; i < 50; ++i) log_->NoteRefusal(denial, Allowance::kOwn);
  EXPECT_TRUE(loop_.RunUntil([&] {
    std::this_thread::yield();
    loop_.Post([] {});
    return !Log().empty();
  }));
  const auto lines = Log();
  std::uint64_t total = 0;
  for (const CheckedLine& line : lines) total += line.record.count();
  EXPECT_EQ(total, 50U);
  EXPECT_EQ(lines[0].record.request_id(), "r1");
}

TEST_F(AuditLogTest, WritesWhatWaitsWhenItStops) {
  options_.timing.aggregation_window = std::chrono::hours(1);
  Open();
  Record denial = IntentOf("r1");
  denial.set_event(event::kRequestDenied);
  log_->NoteRefusal(denial, Allowance::kOwn);
  int answered = 0;
  for (int i = 0; i < 3000; ++i) {
    log_->Append(EventOf("x"), [&](const Result<std::uint64_t>& result) { answered += result.ok() ? 1 : 0; });
  }
  log_->Stop();
  loop_.RunPending();
  EXPECT_EQ(answered, 3000);
  EXPECT_EQ(Log().size(), 3001U + 3U);  // and the checkpoints
  ExpectChained(Log());
  EXPECT_TRUE(absl::IsUnavailable(Append(EventOf("late")).status()));
}

TEST_F(AuditLogTest, TimeIsTheClocksAlsoWhereItStepsBackAndAStartSaysHowFarTheLogIsAhead) {
  Open();
  EXPECT_EQ(ahead_, std::chrono::hours(0));
  ASSERT_TRUE(Append(EventOf("x")).ok());
  loop_.fake_clock().StepWall(-std::chrono::hours(1));
  ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  Open();
  EXPECT_EQ(ahead_, std::chrono::hours(1));
  ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  loop_.fake_clock().StepWall(std::chrono::hours(2));
  Open();
  EXPECT_EQ(ahead_, std::chrono::hours(0));
  ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  const auto lines = Log();
  ExpectChained(lines);
  const auto after_first = [&lines](std::size_t i) {
    return lines[i].record.time().seconds() - lines[0].record.time().seconds();
  };
  EXPECT_EQ(after_first(1), -3600);
  EXPECT_EQ(after_first(2), -3600);
  EXPECT_EQ(after_first(3), 3600);
}

TEST_F(AuditLogTest, RefusesAtOnceWhatItHasNoRoomForAndNeverAnEnd) {
  Open();
  std::atomic<bool> let_sync = false;
  std::promise<void> syncing;
  std::atomic<bool> first = true;
  disk_.SetFaults([&](Operation operation) {
    if (operation == Operation::kSync && first.exchange(false)) {
      syncing.set_value();
      while (!let_sync) std::this_thread::yield();
    }
    return false;
  });
  std::vector<IntentReceipt> receipts;
  std::size_t refused = 0;
  const std::size_t most = QueuedAuditLog::kMaxPlaces / 2;
  const auto intend = [&] {
    log_->AppendIntent(IntentOf("r"), [&](Result<IntentReceipt> intent) {
      if (intent.ok()) {
        receipts.push_back(*std::move(intent));
      } else {
        ++refused;
      }
    });
  };
  intend();
  syncing.get_future().wait();
  for (std::size_t i = 1; i < most; ++i) intend();
  loop_.RunPending();
  EXPECT_EQ(refused, 0U);
  for (int i = 0; i < 10; ++i) intend();
  loop_.RunPending();
  EXPECT_EQ(refused, 10U);

  let_sync = true;
  EXPECT_TRUE(loop_.RunUntil([&] { return receipts.size() == most; }));
  // The intents are written. The places for their ends are still reserved.
  std::size_t ended = 0;
  for (IntentReceipt& receipt : receipts) {
    log_->AppendEnd(std::move(receipt), EventOf(event::kTokenRefused), nullptr,
                    [&](const Result<std::uint64_t>& end) { ended += end.ok() ? 1 : 0; });
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return ended == most; }));
  receipts.clear();
  intend();
  EXPECT_TRUE(loop_.RunUntil([&] { return receipts.size() == 1; }));
}

TEST_F(AuditLogTest, GoesOnInANewFileAfterAFault) {
  for (const Operation broken : {Operation::kWrite, Operation::kSync}) {
    SCOPED_TRACE(static_cast<int>(broken));
    disk_ = FakeDisk();
    Open();
    ASSERT_TRUE(Append(EventOf(event::kDaemonStarted)).ok());
    std::atomic<int> faults = 1;
    disk_.SetFaults([&](Operation operation) { return operation == broken && faults-- > 0; });
    EXPECT_TRUE(absl::IsUnavailable(Intend("failed").status()));
    const std::string old = disk_.Files().at("audit-00000000000000000001.jsonl");
    ASSERT_TRUE(AppendUntilWritable().ok());
    Close();

    const auto lines = Log();
    ExpectChained(lines);
    EXPECT_THAT(Events(lines), ElementsAre("daemon.started", "audit.recovered", "config.reloaded"));
    EXPECT_THAT(lines[1].record.detail(), HasSubstr("audit-00000000000000000001.jsonl"));
    EXPECT_EQ(disk_.Files().at("audit-00000000000000000001.jsonl"), old);
  }
}

TEST_F(AuditLogTest, EndsAnIntentLateRatherThanNever) {
  Open();
  Result<IntentReceipt> intent = Intend("r1");
  ASSERT_TRUE(intent.ok());
  disk_.SetSpace(100);
  std::optional<Result<std::uint64_t>> end;
  log_->AppendEnd(*std::move(intent), EventOf(event::kTokenUnknown), nullptr,
                  [&](Result<std::uint64_t> result) { end = std::move(result); });
  EXPECT_TRUE(loop_.RunUntil([&] {
    loop_.Post([] {});
    return !log_->healthy();
  }));
  EXPECT_TRUE(absl::IsUnavailable(Append(EventOf("x")).status()));
  EXPECT_FALSE(end);
  disk_.SetSpace({});
  EXPECT_TRUE(loop_.RunUntil([&] { return end.has_value(); }));
  ASSERT_TRUE(end->ok()) << end->status();
  EXPECT_TRUE(log_->healthy());
  Close();
  ExpectChained(Log());
  ExpectEachIntentEndedOnce(Log());
  EXPECT_THAT(LogEvents(), ElementsAre("token.intended", "audit.recovered", "token.unknown"));
  EXPECT_EQ(Log().back().record.seq(), **end);
}

TEST_F(AuditLogTest, AFullDiskLeavesNoHeapOfFiles) {
  std::vector<std::string> told;
  options_.hooks.on_health = [&](Health health, std::string_view) {
    told.emplace_back(health == Health::kFaulted ? "faulted" : "writable");
  };
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  disk_.SetSpace(150);
  EXPECT_TRUE(absl::IsUnavailable(Append(EventOf("x")).status()));
  std::atomic<int> attempts = 0;
  disk_.SetFaults([&](Operation operation) {
    if (operation == Operation::kCreate) ++attempts;
    return false;
  });
  EXPECT_TRUE(loop_.RunUntil([&] {
    loop_.Post([] {});
    return attempts > 20;
  }));
  EXPECT_LE(disk_.Files().size(), 2U);
  EXPECT_EQ(disk_.Files().count("audit.jsonl"), 1U);
  disk_.SetSpace({});
  ASSERT_TRUE(AppendUntilWritable().ok());
  Close();
  EXPECT_EQ(disk_.Files().size(), 2U);
  ExpectChained(Log());
  EXPECT_THAT(told, ElementsAre("faulted", "writable"));
}

TEST_F(AuditLogTest, RecoversWhereverReplacingTheFileFails) {
  for (const Operation broken : {Operation::kList, Operation::kCreate, Operation::kRename, Operation::kRemove,
                                 Operation::kSyncFolder}) {
    for (int at = 1; at <= 2; ++at) {
      SCOPED_TRACE(std::to_string(static_cast<int>(broken)) + " at " + std::to_string(at));
      disk_ = FakeDisk();
      Open();
      ASSERT_TRUE(Append(EventOf("x")).ok());
      std::atomic<int> writes = 1;
      std::atomic<int> seen = 0;
      disk_.SetFaults([&](Operation operation) {
        if (operation == Operation::kWrite) return writes-- > 0;
        return operation == broken && ++seen == at;
      });
      EXPECT_FALSE(Append(EventOf("failed")).ok());
      ASSERT_TRUE(AppendUntilWritable().ok());
      Close();
      ExpectChained(Log());
      EXPECT_THAT(LogEvents(), ElementsAre("x", "audit.recovered", "config.reloaded"));
      EXPECT_EQ(disk_.Files().size(), 2U);
    }
  }
}

TEST_F(AuditLogTest, NoticesAFileThatWasRemoved) {
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  disk_.Erase("audit.jsonl");
  EXPECT_TRUE(absl::IsUnavailable(Append(EventOf("x")).status()));
  ASSERT_TRUE(AppendUntilWritable().ok());
  Close();
  const auto lines = Log();
  ASSERT_FALSE(lines.empty());
  ExpectChained(lines);
  EXPECT_EQ(lines.front().record.seq(), 2U);
  EXPECT_THAT(lines.front().record.detail(), HasSubstr("removed"));
}

TEST_F(AuditLogTest, NoticesAFileThatWasTruncatedAndGoesOnFromTheLastDurableLine) {
  Open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
  const std::string head = LinesOf(disk_.Files().at("audit.jsonl")).back().text;
  disk_.Truncate("audit.jsonl", 10);
  EXPECT_TRUE(absl::IsUnavailable(Append(EventOf("x")).status()));
  ASSERT_TRUE(AppendUntilWritable().ok());
  Close();
  const auto lines = LinesOf(disk_.Files().at("audit.jsonl"));
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines.front().record.seq(), 4U);
  EXPECT_EQ(lines.front().record.prev(), Sha256Hex(head));
  EXPECT_THAT(lines.front().record.detail(), HasSubstr("truncated"));
}

TEST_F(AuditLogTest, IsNotHealthyWhileTheDeviceHangsAndRefusesAtOnce) {
  options_.timing.stall = std::chrono::milliseconds(20);
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  std::atomic<bool> hangs = true;
  disk_.SetFaults([&](Operation operation) {
    while (operation == Operation::kSync && hangs) std::this_thread::yield();
    return false;
  });
  std::optional<Result<std::uint64_t>> hanging;
  log_->Append(EventOf("x"), [&](Result<std::uint64_t> result) { hanging = std::move(result); });
  while (log_->healthy()) std::this_thread::yield();
  EXPECT_TRUE(absl::IsUnavailable(Append(EventOf("x")).status()));
  EXPECT_FALSE(hanging);
  hangs = false;
  EXPECT_TRUE(loop_.RunUntil([&] { return hanging.has_value(); }));
  EXPECT_TRUE(hanging->ok());
  EXPECT_TRUE(log_->healthy());
  EXPECT_TRUE(Append(EventOf("x")).ok());
}

TEST_F(AuditLogTest, AMillionDenialsOfOneCallerAreAFewRecordsAndKeepNoPlaceFromOthers) {
  options_.timing.aggregation_window = std::chrono::seconds(1);
  Open();
  constexpr int kDenials = 1'000'000;
  Record denial = IntentOf("r1");
  denial.set_event(event::kRequestDenied);
  std::size_t others = 0;
  for (int i = 0; i < kDenials; ++i) {
    log_->NoteRefusal(denial, Allowance::kOwn);
    if (i % (kDenials / 100) == 0) {
      log_->Append(EventOf("x"), [&](const Result<std::uint64_t>& result) { others += result.ok() ? 1 : 0; });
    }
  }
  Close();
  EXPECT_EQ(others, 100U);
  std::uint64_t denied = 0;
  std::uint64_t records = 0;
  for (const CheckedLine& line : Log()) {
    if (line.record.event() != event::kRequestDenied) continue;
    denied += std::max<std::uint64_t>(line.record.count(), 1);
    ++records;
  }
  EXPECT_EQ(denied, static_cast<std::uint64_t>(kDenials));
  EXPECT_LE(records, 100U);  // one record a second, and no machine takes 100 seconds
}

TEST_F(AuditLogTest, AnswersBeforeItDeletesSurplusFiles) {
  file_.max_size = 500;
  file_.keep = 100;
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  file_.max_size = 1 << 20;  // no rotation, so the first removal is that of a file that need not be kept
  file_.keep = 1;
  Open();
  std::atomic<bool> deleting = false;
  std::atomic<bool> let_delete = false;
  disk_.SetFaults([&](Operation operation) {
    if (operation != Operation::kRemove) return false;
    deleting = true;
    while (!let_delete) std::this_thread::yield();
    return false;
  });
  EXPECT_TRUE(Append(EventOf("x")).ok());
  while (!deleting) std::this_thread::yield();
  let_delete = true;
  Close();
  ExpectChained(Log());
}

TEST_F(AuditLogTest, StopsWhileTheDiskIsBrokenAndAnswersEverything) {
  options_.timing.stop_bound = std::chrono::milliseconds(50);
  Open();
  Result<IntentReceipt> intent = Intend("r1");
  disk_.SetFaults([](Operation) { return true; });
  std::optional<Result<std::uint64_t>> end;
  log_->AppendEnd(*std::move(intent), EventOf(event::kTokenUnknown), nullptr,
                  [&](Result<std::uint64_t> result) { end = std::move(result); });
  log_->Stop();
  loop_.RunPending();
  ASSERT_TRUE(end);
  EXPECT_TRUE(absl::IsUnavailable(end->status()));
}

TEST_F(AuditLogTest, RotatesAndKeepsTheChain) {
  file_.max_size = 2000;
  file_.keep = 3;
  Open();
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  const Files files = disk_.Files();
  EXPECT_EQ(files.size(), 4U);
  for (const auto& [name, bytes] : files) EXPECT_LE(bytes.size(), 2000U) << name;
  const auto lines = Log();
  ExpectChained(lines);
  EXPECT_EQ(lines.front().record.event(), event::kCheckpoint);
  const auto& [name, bytes] = *files.begin();
  const std::string first = std::to_string(LinesOf(bytes).front().record.seq());
  EXPECT_EQ(name, "audit-" + std::string(20 - first.size(), '0') + first + ".jsonl");

  Open();
  EXPECT_EQ(*Append(EventOf("x")), lines.back().record.seq() + 1);
  Close();
  ExpectChained(Log());
}

TEST_F(AuditLogTest, SealsAClosedFileWithACheckpointThatBeginsTheNext) {
  file_.max_size = 2000;
  file_.keep = 100;
  Open();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  const auto lines = Log();
  std::size_t checkpoints = 0;
  for (const auto& [name, bytes] : disk_.Files()) {
    const CheckedLine first = LinesOf(bytes).front();
    if (first.record.seq() == 1) continue;
    EXPECT_EQ(first.record.event(), event::kCheckpoint) << name;
    ++checkpoints;
  }
  EXPECT_GT(checkpoints, 2U);
  ExpectChained(lines);
}

TEST_F(AuditLogTest, MakesACheckpointEveryThousandRecordsAndAtTheStop) {
  Open();
  for (int i = 0; i < 2500; ++i) log_->Append(EventOf("x"), [](const Result<std::uint64_t>&) {});
  EXPECT_TRUE(log_->Stop(EventOf(event::kDaemonStopped)).ok());
  std::vector<std::uint64_t> checkpoints;
  for (const CheckedLine& line : Log()) {
    if (line.record.event() == event::kCheckpoint) checkpoints.push_back(line.record.seq());
  }
  EXPECT_EQ(checkpoints, (std::vector<std::uint64_t>{1001, 2002, 2504}));
  EXPECT_EQ(LogEvents().back(), event::kCheckpoint);
  EXPECT_EQ(LogEvents()[LogEvents().size() - 2], event::kDaemonStopped);
}

TEST_F(AuditLogTest, MakesACheckpointOfNewsOnceAMinuteAndNoneWithoutNews) {
  options_.timing.checkpoint = std::chrono::milliseconds(5);
  int told = 0;
  options_.hooks.on_checkpoint = [&](std::uint64_t, std::string_view) { loop_.Post([&told] { ++told; }); };
  Open();
  for (int news = 1; news <= 3; ++news) {
    ASSERT_TRUE(Append(EventOf("x")).ok());
    ASSERT_TRUE(loop_.RunUntil([&] { return told == news; }));
  }
  Close();
  EXPECT_EQ(LogEvents(), (std::vector<std::string>{"x", "checkpoint", "x", "checkpoint", "x", "checkpoint"}));
}

TEST_F(AuditLogTest, TellsOfACheckpointWhatTheRecordSays) {
  std::uint64_t sequence = 0;
  std::string prev;
  options_.hooks.on_checkpoint = [&](std::uint64_t told, std::string_view hash) {
    sequence = told;
    prev = hash;
  };
  Open();
  ASSERT_TRUE(Append(EventOf("x")).ok());
  EXPECT_TRUE(log_->Stop(EventOf(event::kDaemonStopped)).ok());
  EXPECT_EQ(Log().back().record.seq(), sequence);
  EXPECT_EQ(Log().back().record.prev(), prev);
}

TEST_F(AuditLogTest, KeepsWhatARequestMustBeKnownFromWhateverKeepSays) {
  file_.max_size = 2000;
  file_.keep = 1;
  options_.keep_for = std::chrono::minutes(10);
  Open();
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
  EXPECT_GT(disk_.Files().size(), 2U);
  loop_.Advance(std::chrono::minutes(11));
  ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  EXPECT_EQ(disk_.Files().size(), 2U);
}

TEST_F(AuditLogTest, TakesShortWrites) {
  disk_.SetLongestWrite(7);
  Open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Append(EventOf("x")).ok());
  Close();
  EXPECT_EQ(Log().size(), 3U);
  ExpectChained(Log());
}

TEST_F(AuditLogTest, TakesRecordsFromManyThreads) {
  file_.max_size = 100'000;
  file_.keep = 1000;
  Open();
  std::atomic<int> answered = 0;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        log_->Append(EventOf("x"),
                     [&](const Result<std::uint64_t>& result) { answered += result.ok() ? 1 : 0; });
        Record denial = IntentOf("r");
        denial.set_event(event::kRequestDenied);
        denial.mutable_caller()->set_name(std::to_string(t));
        log_->NoteRefusal(denial, Allowance::kOwn);
      }
    });
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return answered == 2000; }));
  for (std::thread& thread : threads) thread.join();
  Close();
  const auto lines = Log();
  ExpectChained(lines);
  std::uint64_t noted = 0;
  for (const CheckedLine& line : lines) {
    if (line.record.event() == "request.denied") noted += std::max<std::uint64_t>(line.record.count(), 1);
  }
  EXPECT_EQ(noted, 2000U);
}

}  // namespace
}  // namespace tokend::audit
