#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>

#include "tests/fakes/scripted_upstream.h"
#include "tests/flow/world.h"

namespace tokend::flow {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Disk = fakes::MemoryAuditLog::Disk;

constexpr int kSteps = 2000;
constexpr int kMaxPauses = 100;

// A world in which everything happens at random: calls, joins, cancellations, answers of every kind, a disk
// that hangs and fails at every step, time that passes.
class RandomWorld {
 public:
  explicit RandomWorld(unsigned seed) : random_(seed) {}

  void Run() {
    for (int step = 0; step < kSteps; ++step) {
      Step();
      loop_.RunPending();
      CheckOrder();
    }
    world_.audit.SetDisk(Disk::kWorks);
    for (int pauses = 0; pauses < kMaxPauses && !world_.live.WaitNone({});) {
      loop_.RunPending();
      if (!upstream_.waiting().empty()) {
        AnswerOne();
      } else {
        loop_.Advance(seconds(1));  // what pauses before another attempt
        ++pauses;
      }
    }
    CheckOrder();
    CheckAccounts();
  }

 private:
  int Pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }

  void Step() {
    switch (Pick(10)) {
      case 0:
      case 1:
      case 2:
        Ask();
        break;
      case 3:
        if (!calls_.empty())
          calls_[static_cast<std::size_t>(Pick(static_cast<int>(calls_.size())))]->call->Cancel();
        break;
      case 4:
      case 5:
      case 6:
        if (!upstream_.waiting().empty()) AnswerOne();
        break;
      case 7:
        world_.audit.SetDisk(static_cast<Disk>(Pick(3)));
        break;
      case 8:
        world_.audit.SetDisk(Disk::kWorks);
        break;
      default:
        loop_.Advance(milliseconds(Pick(1500)));
    }
  }

  void Ask() {
    fakes::Request request;
    if (Pick(3) != 0) request.request_id = "018f3b2a-0000-7000-8000-00000000000" + std::to_string(Pick(8));
    calls_.push_back(&world_.Ask(request, Pick(20) == 0 ? "ci-other" : "ci"));
  }

  void AnswerOne() {
    switch (Pick(6)) {
      case 0:
        return upstream_.Answer({Refused{{.reason = Reason::kUpstreamUnavailable}}, {}});
      case 1:
        ++unclear_;
        return upstream_.Answer({Indeterminate{{.reason = Reason::kOutcomeUnknown}, nullptr}, {}});
      default:
        return upstream_.AnswerMinted();
    }
  }

  // What must hold at every moment.
  void CheckOrder() {
    for (; checked_ < world_.audit.durable().size(); ++checked_) {
      const audit::Record& record = world_.audit.durable()[checked_];
      if (record.event() == "token.intended") intents_.insert(record.seq());
      if (record.event() == "token.issued" || record.event() == "token.replayed") {
        released_.insert(record.token().id());
      }
    }
    for (const auto& post : upstream_.waiting()) {
      ASSERT_TRUE(intents_.contains(post.intent)) << "a POST without a durable intent";
    }
    for (const CallSeen* call : calls_) {
      ASSERT_LE(call->replies, 1);
      if (call->released()) {
        ASSERT_TRUE(released_.contains(call->release().token->id)) << "a bearer without a durable record";
      }
    }
  }

  // What must hold in the end.
  void CheckAccounts() {
    std::map<std::uint64_t, int> ends;
    std::map<std::string, int> events;
    std::map<std::string, int> maybe_minted;  // by request_id, within `remember`
    for (const audit::Record& record : world_.audit.durable()) {
      ++events[record.event()];
      if (record.event() == "token.intended") ends[record.seq()] = 0;
      if (record.event() == "token.issued" || record.event() == "token.withheld" ||
          record.event() == "token.unknown" || record.event() == "token.refused") {
        ASSERT_TRUE(ends.contains(record.intent())) << "an end without an intent";
        ++ends[record.intent()];
        if (record.event() != "token.refused") ++maybe_minted[record.request_id()];
      }
    }
    for (const auto& [sequence, count] : ends) ASSERT_EQ(count, 1) << "intent " << sequence;
    for (const auto& [request_id, count] : maybe_minted) ASSERT_EQ(count, 1) << request_id;
    ASSERT_EQ(events["token.issued"] + events["token.withheld"], upstream_.minted());
    ASSERT_EQ(events["token.unknown"], unclear_);
    ASSERT_TRUE(world_.live.WaitNone({}));
  }

  std::mt19937 random_;
  fakes::HandCrankedLoop loop_;
  fakes::ScriptedUpstream upstream_{loop_};
  // No request_id is forgotten within a run, so that none may be minted twice in it.
  World world_{upstream_, loop_, {.slots = 4, .requests = {.remember = std::chrono::hours(24)}}};
  std::vector<CallSeen*> calls_;
  int unclear_ = 0;

  std::size_t checked_ = 0;
  std::set<std::uint64_t> intents_;
  std::set<std::string> released_;
};

TEST(RandomFlow, EveryTokenIsAccountedForUnderFaultsAtEveryStep) {
  const char* chosen = std::getenv("TOKEND_SEED");
  const unsigned seed = chosen != nullptr ? static_cast<unsigned>(std::atoi(chosen)) : std::random_device()();
  std::cout << "TOKEND_SEED=" << seed << "\n";
  const unsigned worlds = std::getenv("TOKEND_LONG_TESTS") != nullptr ? 200 : 3;
  for (unsigned i = 0; i < worlds; ++i) {
    RandomWorld(seed + i).Run();
    if (HasFatalFailure()) FAIL() << "world " << i << " of TOKEND_SEED=" << seed;
  }
}

}  // namespace
}  // namespace tokend::flow
