// Kills the real daemon under load with SIGKILL in each state of a request, of the log and of a restart. The
// program tokend-failpoints ends itself there: see daemon/base/failpoint.h.
#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <thread>

#include "tests/system/account.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

constexpr char kFailpoints[] = "tokend-failpoints";
constexpr std::size_t kCalls = 120;
constexpr std::size_t kParallel = 16;

enum class When {
  kLoad,         // while calls run
  kFault,        // while calls run, after the disk has failed and works again
  kStop,         // at SIGTERM after calls
  kRecovery,     // at the start after a crash that left intents open
  kTornRestart,  // at the start after a crash that left half a line
};

struct State {
  const char* name;
  const char* failpoint;
  int first;   // the process ends when it reaches the state for this time
  int second;  // with --long, also for this time
  When when = When::kLoad;
};

constexpr State kStates[] = {
    {"request_id claimed", "claimed", 1, 60},
    {"intent handed to the writer", "intent.handed", 1, 60},
    {"before the intent's write", "write@token.intended", 3, 20},
    {"half the intent written", "write.half@token.intended", 3, 20},
    {"intent written, not synced", "written@token.intended", 3, 20},
    {"intent synced, nobody told", "synced@token.intended", 3, 20},
    {"intent's call told", "told@token.intended", 3, 20},
    {"intent durable, before the POST", "intent.durable", 1, 60},
    {"POST handed to the client", "post.handed", 1, 60},
    {"POST's body handed to the socket", "post.body", 1, 60},
    {"first byte of the answer", "post.answering", 1, 300},
    {"answered", "answered", 1, 60},
    {"outcome handed to the writer", "outcome.handed", 1, 60},
    {"before the outcome's write", "write@token.issued", 2, 20},
    {"half the outcome written", "write.half@token.issued", 2, 20},
    {"outcome written, not synced", "written@token.issued", 2, 20},
    {"outcome synced, nobody told", "synced@token.issued", 2, 20},
    {"outcome's call told", "told@token.issued", 2, 20},
    {"outcome durable, before the release", "outcome.durable", 1, 60},
    {"bearer released", "released", 1, 60},
    {"before a checkpoint's write", "write@checkpoint", 1, 3},
    {"checkpoint written, not synced", "written@checkpoint", 1, 3},
    {"checkpoint synced", "synced@checkpoint", 1, 3},
    {"rotation begun", "install@rotation", 1, 3},
    {"rotation: new file made", "install.created@rotation", 1, 3},
    {"rotation: old file renamed", "install.closed@rotation", 1, 3},
    {"rotation: new file renamed", "install.renamed@rotation", 1, 3},
    {"rotation: folder synced", "install.synced@rotation", 1, 3},
    {"fault: new file made", "install.created@audit.recovered", 1, 1, When::kFault},
    {"fault: its first line written", "install.written@audit.recovered", 1, 1, When::kFault},
    {"fault: old file out of the way", "install.closed@audit.recovered", 1, 1, When::kFault},
    {"fault: new file renamed", "install.renamed@audit.recovered", 1, 1, When::kFault},
    {"fault: folder synced", "install.synced@audit.recovered", 1, 1, When::kFault},
    {"before the stop's record", "write@daemon.stopped", 1, 1, When::kStop},
    {"stop's record written, not synced", "written@daemon.stopped", 1, 1, When::kStop},
    {"recovery: log read", "recovery.read", 1, 1, When::kRecovery},
    {"recovery: configuration kept", "recovery.config", 1, 1, When::kRecovery},
    {"recovery: before open intents are ended", "write@daemon_stopped", 1, 1, When::kRecovery},
    {"recovery: half of the ends written", "write.half@daemon_stopped", 1, 1, When::kRecovery},
    {"recovery: ends written, not synced", "written@daemon_stopped", 1, 1, When::kRecovery},
    {"recovery: ends durable", "recovery.ended", 1, 1, When::kRecovery},
    {"recovery: before the start's record", "write@daemon.started", 1, 1, When::kRecovery},
    {"torn line: new file made", "install.created@audit.recovered", 1, 1, When::kTornRestart},
    {"torn line: half set aside", "install.closed@audit.recovered", 1, 1, When::kTornRestart},
    {"torn line: new file renamed", "install.renamed@audit.recovered", 1, 1, When::kTornRestart},
    {"torn line: log taken up", "recovery.taken", 1, 1, When::kTornRestart},
};

std::string RequestIdOf(std::size_t call) {
  std::string id = kRequestId;
  const std::string number = std::to_string(call);
  return id.replace(id.size() - number.size(), number.size(), number);
}

std::map<std::string, std::string> EndAt(const std::string& failpoint, int passing) {
  return {{"TOKEND_FAILPOINT", failpoint + ":" + std::to_string(passing)}};
}

class CrashMatrix : public testing::Test {
 protected:
  CrashMatrix() {
    fakes::FakeAppliveryOptions slow;
    slow.delay = std::chrono::milliseconds(2);
    applivery_ = std::make_unique<fakes::FakeApplivery>(slow);
  }

  // Half of the calls choose their request_id.
  static v1::CreateTokenRequest RequestOf(std::size_t call) {
    return RequestFor("ios-app", call % 2 == 0 ? RequestIdOf(call) : "");
  }

  std::vector<Answered> Load(const Tokend& tokend, Account& account) {
    std::vector<Answered> answered =
        RawClient(tokend.address()).CreateMany(kCalls, kParallel, &CrashMatrix::RequestOf);
    for (const Answered& one : answered) account.Add(one);
    return answered;
  }

  void ExpectKilled(Tokend& tokend) { ASSERT_EQ(tokend.process().Wait(), -SIGKILL) << "not reached"; }

  // Makes the disk fail until the daemon has noticed it: see faulty_disk.cc.
  void FailOnce(const fakes::TemporaryFolder& folder, const Tokend& tokend) {
    applivery_->WaitForPosts(applivery_->counts().posts + kParallel, std::chrono::seconds(10));
    WriteFile(folder / "fault.new", "sync-eio");
    std::filesystem::rename(folder / "fault.new", folder / "fault");
    Eventually([&] { return !LineWith(tokend.log(), {"\"event\":\"audit.failed\""}).empty(); });
    std::filesystem::remove(folder / "fault");
  }

  // Runs a daemon until it ends in the state.
  void Reach(const State& state, int passing, const fakes::TemporaryFolder& folder, Tokend& tokend,
             Account& account, std::vector<Answered>& answered) {
    std::jthread disk;
    if (state.when == When::kFault) disk = std::jthread([&] { FailOnce(folder, tokend); });
    answered = Load(tokend, account);
    if (state.when == When::kStop) tokend.process().Signal(SIGTERM);
    ExpectKilled(tokend);
    if (state.when != When::kRecovery && state.when != When::kTornRestart) return;
    const bool serves = tokend.TryRestart(kFailpoints, EndAt(state.failpoint, passing));
    // The written half of a batch may end with a complete line.
    if (serves && state.when == When::kTornRestart) tokend.process().Signal(SIGKILL);
    ASSERT_TRUE(!serves || state.when == When::kTornRestart) << "not reached";
    ExpectKilled(tokend);
  }

  void Run(const State& state, int passing) {
    SCOPED_TRACE(std::string(state.name) + ": " + state.failpoint + ":" + std::to_string(passing));
    const fakes::TemporaryFolder folder;
    WriteFile(folder / "upstream-ca.crt", applivery_->ca_pem());
    Tokend::Options options;
    options.base_url = applivery_->base_url();
    options.ca_file = folder / "upstream-ca.crt";
    options.grant = "      description: \"{request_id}\"\n";
    options.audit = "file: {path: FOLDER/audit.jsonl, max_size: 24KiB}";
    options.program = kFailpoints;
    options.environment = EndAt(state.failpoint, passing);
    if (state.when == When::kRecovery) options.environment = EndAt("post.body", kParallel * 2);
    if (state.when == When::kTornRestart) options.environment = EndAt("write.half@token.issued", 2);
    if (state.when == When::kFault) {
      options.environment["LD_PRELOAD"] = FAULTY_DISK_LIBRARY;
      options.environment["FAULTY_DISK"] = folder / "fault";
      options.environment["ASAN_OPTIONS"] = "verify_asan_link_order=0";
    }
    const std::size_t minted_before = applivery_->tokens().size();
    Account account;
    std::vector<Answered> answered;
    Tokend tokend(folder, options);
    Reach(state, passing, folder, tokend, account, answered);
    if (HasFatalFailure()) return;

    // Then the normal program starts on the files that are left, and callers that know their request_id ask
    // again.
    tokend.Restart();
    std::vector<std::size_t> again;
    for (std::size_t i = 0; i < answered.size(); i += 2) {
      if (answered[i].code != 0) again.push_back(i);
    }
    const auto repeated = RawClient(tokend.address()).CreateMany(again.size(), kParallel, [&](std::size_t i) {
      return RequestOf(again[i]);
    });
    for (const Answered& one : repeated) {
      account.Add(one);
      EXPECT_TRUE(one.code == 0 || one.reason == "OUTCOME_UNKNOWN") << one.reason << " " << one.message;
    }
    tokend.process().Signal(SIGTERM);
    EXPECT_EQ(tokend.process().Wait(), 0);
    std::vector<fakes::MintedToken> minted = applivery_->tokens();
    minted.erase(minted.begin(), minted.begin() + static_cast<std::ptrdiff_t>(minted_before));
    account.Expect(AuditRecords(folder / ""), minted);
    ExpectVerifies(folder / "");
    std::cout << std::left << std::setw(42) << state.name << std::right << std::setw(5) << passing
              << account.Row() << std::setw(10) << (HasFailure() ? "NO" : "yes") << std::endl;
  }

  std::unique_ptr<fakes::FakeApplivery> applivery_;
};

TEST_F(CrashMatrix, KeepsEveryPromiseWhereverTheProcessEnds) {
  const bool whole = std::getenv("TOKEND_LONG_TESTS") != nullptr;
  std::cout << std::left << std::setw(42) << "killed at" << std::right << std::setw(5) << "nth"
            << Account::Header() << std::setw(10) << "all hold" << std::endl;
  for (const State& state : kStates) {
    Run(state, state.first);
    if (whole && state.second != state.first) Run(state, state.second);
    if (HasFatalFailure()) return;
  }
}

TEST(ShippedProgram, HoldsNoFailpoint) {
  EXPECT_THAT(ReadFile(Program(kFailpoints)), testing::HasSubstr("TOKEND_FAILPOINT"));
  EXPECT_THAT(ReadFile(Program("tokend")), testing::Not(testing::HasSubstr("TOKEND_FAILPOINT")));
}

}  // namespace
}  // namespace tokend::system
