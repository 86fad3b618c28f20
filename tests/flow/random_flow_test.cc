#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/scripted_upstream.h"
#include "tests/flow/world.h"

namespace tokend::flow {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Disk = fakes::MemoryAuditLog::Disk;

constexpr int kSteps = 2000;
constexpr int kMaxPauses = 100;

constexpr std::size_t kSlots = 4;
constexpr std::size_t kMaxInFlight = 3;  // of each caller
const char* const kCallers[] = {"ci", "ci", "ci", "ci-other", "ci-third"};
const char* const kApplications[] = {"ios-app", "ios-app", "android-app"};

const config::Limit& OwnLimit() {
  static const config::Limit limit{"own", 60, std::chrono::minutes(1), 10};
  return limit;
}
const config::Limit& OrganizationLimit() {
  static const config::Limit limit{"upstream", 2, seconds(1), 2};
  return limit;
}

World::Options OptionsOfWorld() {
  config::Grant grant = EveryonesGrant();
  grant.max_in_flight = kMaxInFlight;
  grant.limits = {OwnLimit()};
  // Longer than a run: no request_id is forgotten, so none may be minted twice.
  return {.slots = kSlots,
          .grant = grant,
          .organization_limits = {OrganizationLimit()},
          .requests = {.remember = std::chrono::hours(24), .max_entries = 100000}};
}

// A world in which everything happens at random: calls, joins, cancellations, deadlines, answers of every
// kind, keys that change, a disk that hangs or fails at every step, and time that passes. Every other world
// also stops at its end.
class RandomWorld {
 public:
  explicit RandomWorld(unsigned seed) : random_(seed), stops_(seed % 2 == 0) {}

  void Run() {
    for (int step = 0; step < kSteps; ++step) {
      if (stops_ && step == kSteps - kStepsAfterStop) world_.live.Stop();
      Step();
      loop_.RunPending();
      CheckOrder();
      if (testing::Test::HasFatalFailure()) return;
    }
    world_.audit.SetDisk(Disk::kWorks);
    for (int pauses = 0; pauses < kMaxPauses && !world_.live.WaitNone({});) {
      loop_.RunPending();
      if (!upstream_.waiting().empty()) {
        AnswerOne();
      } else {
        loop_.Advance(seconds(1));  // requests that pause before a retry
        ++pauses;
      }
    }
    CheckOrder();
    CheckAccounts();
    if (!stops_ && !testing::Test::HasFatalFailure()) CheckNothingIsLeftTaken();
  }

 private:
  static constexpr int kStepsAfterStop = 100;

  int Pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }

  template <class Item, std::size_t kItems>
  Item PickOf(const Item (&items)[kItems]) {
    return items[Pick(kItems)];
  }

  void Step() {
    switch (Pick(11)) {
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
      case 9:
        if (Pick(20) == 0) UseAnotherKey();
        break;
      default:
        loop_.Advance(milliseconds(Pick(1500)));
    }
  }

  void UseAnotherKey() {
    ++generation_;
    world_.availability.UseKeys({{"acme", {nullptr, config::KeyFile{}, generation_}}});
  }

  void Ask() {
    fakes::Request request{.application = PickOf(kApplications), .validate_only = Pick(30) == 0};
    if (Pick(3) != 0) {
      const std::string id = std::to_string(100000 + calls_.size() / 25 + static_cast<std::size_t>(Pick(8)));
      request.request_id = "018f3b2a-0000-7000-8000-000000" + id;
    }
    const milliseconds patience(Pick(4) == 0 ? Pick(3000) : 60000 + Pick(60000));
    CallSeen& seen = world_.Ask(request, PickOf(kCallers), patience);
    calls_.push_back(&seen);
    loop_.After(patience, [&seen] { seen.call->Cancel(); });
  }

  void Refuse(Reason reason, int status, std::optional<milliseconds> retry_after = std::nullopt) {
    upstream_.Answer({Refused{{.reason = reason, .retry_after = retry_after}},
                      {.http_status = status, .key_generation = generation_}});
  }
  void LeaveUnclear(int status) {
    ++unclear_;
    upstream_.Answer({Indeterminate{{.reason = Reason::kOutcomeUnknown}, nullptr},
                      {.http_status = status, .key_generation = generation_}});
  }

  void AnswerOne() {
    if (Pick(40) == 0) down_ = !down_;
    switch (Pick(down_ ? 4 : 16)) {
      case 0:
      case 1:
        return Refuse(Reason::kUpstreamUnavailable, 0);
      case 2:
        return LeaveUnclear(500);
      case 3:
        return LeaveUnclear(0);
      case 4:
        return Refuse(Reason::kUpstreamKeyRejected, 401);
      case 5:
        return Refuse(Reason::kUpstreamForbidden, 403);
      case 6:
        return Refuse(Reason::kUpstreamRateLimited, 429, milliseconds(Pick(3000)));
      case 7:
        return Refuse(Reason::kApplicationNotFound, 404);
      default:
        return upstream_.AnswerMinted(generation_);
    }
  }

  // The most requests that a limit can have admitted since the beginning.
  std::size_t GivenAtMost(const config::Limit& limit) const {
    const auto elapsed = loop_.clock().Now() - began_;
    return limit.burst + static_cast<std::size_t>(elapsed / (limit.per / limit.tokens));
  }

  // What must hold at every moment.
  void CheckOrder() {
    for (; checked_ < world_.audit.durable().size(); ++checked_) {
      const audit::Record& record = world_.audit.durable()[checked_];
      if (record.event() == "token.intended") {
        intents_[record.seq()] = record.caller().name();
        ++intended_by_[record.caller().name()];
      }
      if (record.event() == "token.issued" || record.event() == "token.replayed") {
        released_.insert(record.token().id());
      }
    }
    std::map<std::string, std::size_t> running;
    for (const auto& post : upstream_.waiting()) {
      ASSERT_TRUE(intents_.contains(post.intent)) << "a POST without a durable intent";
      ASSERT_LE(++running[intents_[post.intent]], kMaxInFlight);
    }
    ASSERT_LE(upstream_.waiting().size(), kSlots);
    ASSERT_LE(static_cast<std::size_t>(upstream_.posts()), intents_.size());
    ASSERT_LE(intents_.size(), GivenAtMost(OrganizationLimit())) << "more than the organization may spend";
    for (const auto& [caller, intended] : intended_by_) {
      ASSERT_LE(intended, GivenAtMost(OwnLimit())) << "more than " << caller << " may spend";
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
    std::map<std::string, int> maybe_minted;  // by caller and request_id, within `remember`
    for (const audit::Record& record : world_.audit.durable()) {
      ++events[record.event()];
      if (record.event() == "token.intended") ends[record.seq()] = 0;
      if (record.event() == "token.issued" || record.event() == "token.withheld" ||
          record.event() == "token.unknown" || record.event() == "token.refused") {
        ASSERT_TRUE(ends.contains(record.intent())) << "an end without an intent";
        ++ends[record.intent()];
        if (record.event() != "token.refused")
          ++maybe_minted[record.caller().name() + " " + record.request_id()];
      }
    }
    for (const auto& [sequence, count] : ends) ASSERT_EQ(count, 1) << "intent " << sequence;
    for (const auto& [name, count] : maybe_minted) ASSERT_EQ(count, 1) << name;
    ASSERT_EQ(events["token.issued"] + events["token.withheld"], upstream_.minted());
    ASSERT_EQ(events["token.unknown"], unclear_);
    ASSERT_TRUE(world_.live.WaitNone({}));
    for (const CallSeen* call : calls_) ASSERT_EQ(call->replies, 1);
    ASSERT_EQ(world_.state.entries(), maybe_minted.size());
  }

  // Every slot, every place in flight and every probe is free again, and every limit is full.
  void CheckNothingIsLeftTaken() {
    loop_.Advance(std::chrono::minutes(3));
    UseAnotherKey();
    const auto ask_and_mint = [this](const std::string& caller, std::size_t times) {
      std::vector<CallSeen*> asked;
      for (std::size_t i = 0; i < times; ++i) asked.push_back(&world_.Ask({}, caller));
      loop_.RunPending();
      ASSERT_EQ(upstream_.waiting().size(), times);
      while (!upstream_.waiting().empty()) upstream_.AnswerMinted(generation_);
      loop_.RunPending();
      for (const CallSeen* call : asked) ASSERT_TRUE(call->released());
      loop_.Advance(std::chrono::minutes(1));
    };
    ask_and_mint("ci", 1);
    for (const std::string caller : {"ci", "ci-other", "ci-third"})
      ask_and_mint(caller, OrganizationLimit().burst);
  }

  std::mt19937 random_;
  const bool stops_;
  fakes::HandCrankedLoop loop_;
  fakes::ScriptedUpstream upstream_{loop_};
  World world_{upstream_, loop_, OptionsOfWorld()};
  const std::chrono::steady_clock::time_point began_ = loop_.clock().Now();
  std::vector<CallSeen*> calls_;
  std::uint64_t generation_ = 1;
  bool down_ = false;
  int unclear_ = 0;

  std::size_t checked_ = 0;
  std::map<std::uint64_t, std::string> intents_;  // to the caller
  std::map<std::string, std::size_t> intended_by_;
  std::set<std::string> released_;
};

TEST(RandomFlow, EveryTokenIsAccountedForUnderFaultsAtEveryStep) {
  const char* chosen = std::getenv("TOKEND_SEED");
  const unsigned seed = chosen != nullptr ? static_cast<unsigned>(std::atoi(chosen)) : std::random_device()();
  std::cout << "TOKEND_SEED=" << seed << "\n";
  const unsigned worlds = std::getenv("TOKEND_LONG_TESTS") != nullptr ? 200 : 4;
  for (unsigned i = 0; i < worlds; ++i) {
    RandomWorld(seed + i).Run();
    if (HasFatalFailure()) FAIL() << "world " << i << " of TOKEND_SEED=" << seed;
  }
}

}  // namespace
}  // namespace tokend::flow
