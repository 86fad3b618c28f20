#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/audit/history.h"
#include "tests/fakes/scripted_upstream.h"
#include "tests/flow/world.h"

// Issuances at a relay, whose upstream is a central tokend.
namespace tokend::flow {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Disk = fakes::MemoryAuditLog::Disk;
using Events = std::vector<std::string>;
using Kind = fakes::ScriptedUpstream::Kind;

constexpr auto kAskAgain = state::MemoryState::OnUnknown::kAskAgain;

class RelayIssuance : public testing::Test {
 protected:
  void Run() { loop.RunPending(); }

  CallSeen& Ask(const fakes::Request& request = {.request_id = kRequestId}) {
    CallSeen& seen = world.Ask(request);
    Run();
    return seen;
  }
  void Mint() {
    upstream.AnswerMinted();
    Run();
  }
  void Answer(MintOutcome outcome) {
    upstream.Answer(std::move(outcome));
    Run();
  }
  void Refuse(Reason reason) { Answer({Refused{{.reason = reason, .detail = "said no"}}, {}}); }
  void LeaveUnknown() {
    Answer({Indeterminate{{.reason = Reason::kOutcomeUnknown, .detail = "no answer"}, nullptr}, {}});
  }
  const audit::Record& last() const { return world.audit.durable().back(); }
  const upstream::MintRequest& sent() const { return upstream.waiting().back().request; }

  fakes::HandCrankedLoop loop;
  fakes::ScriptedUpstream upstream{loop, Kind::kRelay};
  World world{upstream, loop, {.slots = 2, .on_unknown = kAskAgain}};
};

TEST_F(RelayIssuance, TellsTheCentreWhoAsksAndForWhatAndSinceWhen) {
  const auto began = loop.clock().Now();
  const std::string traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  Ask({.description = "nightly", .request_id = kRequestId, .traceparent = traceparent});
  EXPECT_EQ(sent().caller, "ci");
  EXPECT_EQ(sent().digest, state::ToText(state::DigestOf("ci", "acme", "ios-app", {}, "nightly")));
  EXPECT_EQ(sent().first_intended_at, began);
  EXPECT_EQ(sent().deadline, began + seconds(30));
  EXPECT_FALSE(sent().asked_before);
  EXPECT_EQ(sent().traceparent, traceparent);
}

// The upstream of a relay asks again itself, so a request makes one attempt.
TEST_F(RelayIssuance, OneCallIsOneIntent) {
  CallSeen& call = Ask();
  Refuse(Reason::kUpstreamUnavailable);
  EXPECT_EQ(call.failure().reason, Reason::kUpstreamUnavailable);
  loop.Advance(seconds(5));
  EXPECT_EQ(world.audit.events(), (Events{"token.intended", "token.refused"}));
}

TEST_F(RelayIssuance, AnUnknownOutcomeIsAskedForAgainAndTheTokenResolvesIt) {
  const auto began = loop.clock().Now();
  Ask();
  LeaveUnknown();
  EXPECT_EQ(last().resolves(), 0U);
  loop.Advance(minutes(1));
  CallSeen& again = Ask();
  EXPECT_EQ(last().event(), "token.intended");
  EXPECT_EQ(last().resolves(), 1U);
  EXPECT_EQ(sent().first_intended_at, began);
  EXPECT_TRUE(sent().asked_before);
  LeaveUnknown();
  EXPECT_EQ(again.failure().reason, Reason::kOutcomeUnknown);
  EXPECT_EQ(last().event(), "token.unknown");
  EXPECT_EQ(last().resolves(), 1U);
  CallSeen& third = Ask();
  Mint();
  EXPECT_EQ(third.bearer(), "bearer-1");
  EXPECT_EQ(last().event(), "token.issued");
  EXPECT_EQ(last().resolves(), 1U);
  EXPECT_EQ(last().intent(), 5U);
  CallSeen& replayed = Ask();
  EXPECT_EQ(replayed.bearer(), "bearer-1");
  EXPECT_EQ(replayed.release().kind, issue::Released::Kind::kReplayed);
  EXPECT_EQ(upstream.posts(), 3);
}

TEST_F(RelayIssuance, ARefusalOfACallThatAsksAgainSaysNothingOfTheFirst) {
  Ask();
  LeaveUnknown();
  CallSeen& again = Ask();
  Refuse(Reason::kOverloaded);
  EXPECT_EQ(again.failure().reason, Reason::kOverloaded) << "as it is";
  EXPECT_EQ(last().event(), "token.refused");
  EXPECT_EQ(last().resolves(), 1U);
  Ask();
  EXPECT_EQ(last().resolves(), 1U);
}

TEST_F(RelayIssuance, ANewRequestIdThatIsRefusedIsForgotten) {
  Ask();
  Refuse(Reason::kOverloaded);
  Ask();
  EXPECT_EQ(last().event(), "token.intended");
  EXPECT_EQ(last().resolves(), 0U);
}

TEST_F(RelayIssuance, CallsThatComeWhileItIsAskedAgainJoin) {
  Ask();
  LeaveUnknown();
  CallSeen& again = Ask();
  CallSeen& joined = Ask();
  EXPECT_EQ(upstream.posts(), 2);
  Mint();
  EXPECT_EQ(again.bearer(), "bearer-1");
  EXPECT_EQ(joined.bearer(), "bearer-1");
}

TEST_F(RelayIssuance, WhoAsksAgainAndLeavesInTimeLeavesTheOutcomeUnknown) {
  Ask();
  LeaveUnknown();
  Ask({});
  Ask({});  // both slots are taken
  CallSeen& leaves = Ask();
  leaves.call->Cancel();
  Run();
  EXPECT_TRUE(leaves.abandoned());
  Mint();
  Ask();
  EXPECT_EQ(last().resolves(), 1U);
}

TEST_F(RelayIssuance, AnIntentThatIsLostLeavesTheOutcomeUnknown) {
  Ask();
  LeaveUnknown();
  world.audit.SetDisk(Disk::kHangs);
  CallSeen& again = Ask();
  loop.Advance(seconds(2));
  EXPECT_EQ(again.failure().reason, Reason::kAuditUnavailable);
  world.audit.SetDisk(Disk::kWorks);
  Run();
  EXPECT_EQ(last().event(), "token.refused");
  EXPECT_EQ(last().resolves(), 1U);
  Ask();
  EXPECT_EQ(last().resolves(), 1U);
}

// The central tokend may have made the token for the description and the scopes that the policy gave to the
// first call.
TEST_F(RelayIssuance, AsksAgainForWhatTheFirstCallAskedFor) {
  Ask({.description = "nightly", .request_id = kRequestId});
  LeaveUnknown();
  config::Grant changed = EveryonesGrant();
  changed.default_scopes = {"beta"};
  for (const std::string& description : {std::string("{caller}"), std::string(1001, 'x')}) {
    changed.description_template = description;
    world.Reload(changed);
    Ask({.description = "nightly", .request_id = kRequestId});
    EXPECT_EQ(sent().scopes, std::vector<std::string>{"sdk"});
    EXPECT_EQ(sent().description, "nightly");
    EXPECT_EQ(last().target().description(), "nightly");
    EXPECT_EQ(last().resolves(), 1U);
    LeaveUnknown();
  }
}

TEST_F(RelayIssuance, DoesNotAskAgainForWhatTheFirstCallMayNotHaveAnyMore) {
  Ask();
  LeaveUnknown();
  config::Grant changed = EveryonesGrant();
  changed.scopes = changed.default_scopes = {"beta"};
  world.Reload(changed);
  EXPECT_EQ(Ask().failure().reason, Reason::kNotPermitted);
  EXPECT_EQ(last().event(), "request.denied");
  world.Reload(EveryonesGrant());
  Ask();
  EXPECT_EQ(last().resolves(), 1U);
  EXPECT_EQ(upstream.posts(), 2);
}

TEST_F(RelayIssuance, ALateTokenOfTheFirstCallCountsThoughOthersHaveAskedAgain) {
  Ask();
  world.audit.SetDisk(Disk::kHangs);
  Mint();
  loop.Advance(seconds(2));
  EXPECT_FALSE(Ask().reply) << "its intent waits for the disk";
  loop.Advance(seconds(2));
  world.audit.SetDisk(Disk::kWorks);
  Run();
  EXPECT_EQ(Ask().bearer(), "bearer-1");
  EXPECT_EQ(upstream.posts(), 1);
}

TEST_F(RelayIssuance, SpendsTheLimitsOncePerCall) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {{"own", 1, minutes(10), 2}};
  world.Reload(grant);
  Ask();
  LeaveUnknown();
  Ask();
  LeaveUnknown();
  EXPECT_EQ(Ask().failure().reason, Reason::kRateLimited);
  loop.Advance(minutes(9));
  EXPECT_EQ(Ask().failure().reason, Reason::kRateLimited);
}

TEST_F(RelayIssuance, ValidatesWithTheCentreAndRecordsItsAnswer) {
  CallSeen& call = Ask({.description = "try", .validate_only = true});
  EXPECT_FALSE(call.reply);
  ASSERT_EQ(upstream.validations().size(), 1U);
  EXPECT_EQ(upstream.validations()[0].request.description, "try");
  EXPECT_EQ(upstream.validations()[0].request.caller, "ci");
  auto token = std::make_shared<Token>();
  token->description = "as the centre has it";
  upstream.validations()[0].done(std::shared_ptr<const Token>(token));
  Run();
  EXPECT_EQ(std::get<issue::Validated>(call.reply.value()).token->description, "as the centre has it");
  EXPECT_EQ(world.audit.events(), Events{"request.validated"});
}

TEST_F(RelayIssuance, ReturnsWhyTheCentreWouldRefuse) {
  CallSeen& call = Ask({.validate_only = true});
  upstream.validations()[0].done(Failure{.reason = Reason::kNotPermitted, .detail = "said the centre"});
  Run();
  EXPECT_EQ(call.failure().reason, Reason::kNotPermitted);
  EXPECT_EQ(last().event(), "request.denied");
  EXPECT_EQ(last().detail(), "said the centre");
}

TEST_F(RelayIssuance, AValidationThatIsCancelledOrStoppedEndsAtOnce) {
  CallSeen& cancelled = Ask({.validate_only = true});
  CallSeen& stopped = Ask({.validate_only = true});
  cancelled.call->Cancel();
  Run();
  EXPECT_TRUE(cancelled.abandoned());
  EXPECT_EQ(last().event(), "request.failed");
  world.live.Stop();
  Run();
  EXPECT_EQ(stopped.failure().reason, Reason::kShuttingDown);
  EXPECT_TRUE(world.live.WaitNone({}));
  for (auto& question : upstream.validations()) question.done(std::shared_ptr<const Token>());
  Run();
  EXPECT_EQ(cancelled.replies + stopped.replies, 2) << "late answers change nothing";
}

// A central tokend that has one token for each request_id. It loses requests and answers, and refuses at
// random, also what it has a token for.
class RandomCentre final : public upstream::Upstream {
 public:
  RandomCentre(loop::EventLoop& loop, std::mt19937& random) : loop_(loop), random_(random) {}

  void Mint(IntentReceipt receipt, const upstream::MintRequest& request, Done done) override {
    first_intended_at_[receipt.sequence()] = request.first_intended_at;
    auto call = std::make_shared<std::pair<IntentReceipt, Done>>(std::move(receipt), std::move(done));
    loop_.After(milliseconds(Pick(3000)), [call, outcome = OutcomeOf(request.request_id)]() mutable {
      call->second(std::move(call->first), std::move(outcome));
    });
  }
  std::shared_ptr<const void> Hold(const std::string& /*organization*/) override { return nullptr; }
  void UseKeys(const upstream::KeyRing& /*keys*/) override {}
  bool retries() const override { return true; }
  void Stop() override {}

  bool has_token(const std::string& request_id) const { return tokens_.contains(request_id); }
  // What each call said in first_intended_at, by the sequence number of its intent.
  const std::map<std::uint64_t, state::TimePoint>& first_intended_at() const { return first_intended_at_; }

 private:
  int Pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }

  MintOutcome OutcomeOf(const std::string& id) {
    const MintOutcome unknown{Indeterminate{{.reason = Reason::kOutcomeUnknown}, nullptr}, {}};
    const int dice = Pick(8);
    if (dice == 0) return {Refused{{.reason = Reason::kOverloaded}}, {}};
    if (dice == 1) return unknown;
    std::shared_ptr<const Token>& token = tokens_[id];
    if (token == nullptr) {
      auto made = std::make_shared<Token>();
      made->id = "token of " + id;
      made->bearer = Bearer("bearer of " + id);
      token = std::move(made);
    }
    return dice < 5 ? unknown : MintOutcome{Minted{token}, {}};
  }

  loop::EventLoop& loop_;
  std::mt19937& random_;
  std::map<std::string, std::shared_ptr<const Token>> tokens_;
  std::map<std::uint64_t, state::TimePoint> first_intended_at_;
};

// A relay that gets many calls for a few request_ids. At random moments it is killed and starts again, and
// its disk fails.
class RandomRelay {
 public:
  explicit RandomRelay(unsigned seed) : random_(seed) { Start(); }

  void Run() {
    for (int step = 0; step < 1000; ++step) {
      Step();
      Turn();
      if (testing::Test::HasFatalFailure()) return;
    }
    Restart();
    CheckLog();
    for (int id = 0; id <= calls_made_ / kCallsPerId; ++id) CheckGetsItsToken(IdOf(id));
  }

 private:
  static constexpr int kCallsPerId = 12;
  static constexpr seconds kLongestToRecord{7};

  int Pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  static std::string IdOf(int number) {
    return "018f3b2a-0000-7000-8000-000000" + std::to_string(100000 + number);
  }

  void Step() {
    switch (Pick(12)) {
      case 0:
        return world_->audit.SetDisk(static_cast<Disk>(Pick(3)));
      case 1:
      case 2:
        return world_->audit.SetDisk(Disk::kWorks);
      case 3:
        if (!calls_.empty())
          calls_[static_cast<std::size_t>(Pick(static_cast<int>(calls_.size())))]->call->Cancel();
        return;
      case 4:
        if (Pick(8) == 0) Restart();
        return;
      case 5:
      case 6:
        return loop_.Advance(milliseconds(Pick(4000)));
      default:
        Ask(IdOf(calls_made_++ / kCallsPerId + Pick(4)));
    }
  }

  CallSeen& Ask(const std::string& id) {
    CallSeen& seen = world_->Ask({.request_id = id});
    calls_.push_back(&seen);
    asked_.push_back(id);
    return seen;
  }

  void Turn() {
    loop_.RunPending();
    for (; taken_ < world_->audit.durable().size(); ++taken_) {
      const audit::Record& record = world_->audit.durable()[taken_];
      if (record.event() == "token.intended") intended_at_[record.seq()] = loop_.clock().Now();
    }
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      ASSERT_LE(calls_[i]->replies, 1);
      if (calls_[i]->released()) {
        ASSERT_EQ(calls_[i]->bearer(), "bearer of " + asked_[i]);
      }
    }
  }

  static audit::PastRequest PastRequestOf(const audit::Record& intent, std::uint64_t ended_by) {
    audit::RecordView view;
    view.seq = intent.seq();
    view.request_id = intent.request_id();
    view.caller.name = intent.caller().name();
    view.digest = intent.digest();
    view.resolves = intent.resolves();
    view.target.organization = intent.target().organization();
    view.target.application = intent.target().application();
    view.target.scopes.assign(intent.target().scopes().begin(), intent.target().scopes().end());
    view.target.description = intent.target().description();
    return audit::MakePastRequest(view, ended_by);
  }

  // Starts the relay with what recovery finds in the log of the last run.
  void Start() {
    world_ = std::make_unique<World>(
        upstream_, loop_,
        World::Options{.slots = 4,
                       .requests = {.remember = std::chrono::hours(24), .max_entries = 100000},
                       .on_unknown = kAskAgain});
    std::map<std::uint64_t, audit::Record> open;
    audit::PastRequests past;
    for (const audit::Record& record : log_) {
      if (record.event() == "token.intended") open[record.seq()] = record;
      const auto intent = open.find(record.intent());
      if (intent == open.end()) continue;
      if (record.event() != "token.refused") {
        past.push_back(PastRequestOf(intent->second, record.seq()));
      }
      open.erase(intent);
    }
    for (auto& [seq, intent] : open) {
      past.push_back(PastRequestOf(intent, log_.size() + 1));
      intent.set_event("token.unknown");
      intent.set_intent(seq);
      intent.set_seq(log_.size() + 1);
      log_.push_back(intent);
    }
    audit::JoinIntents(past, 1);
    for (const audit::PastRequest& request : past) {
      const audit::RecordView intent = request.texts.Read();
      const audit::RecordView::Target& target = intent.target;
      world_->state.Restore(state::LedgerId(intent.caller.name, "", intent.request_id),
                            state::ParseDigest(intent.digest),
                            {std::string(target.organization),
                             std::string(target.application),
                             {target.scopes.begin(), target.scopes.end()},
                             std::string(target.description)},
                            request.ended_by, {intended_at_.at(request.intent), request.intent});
    }
    world_->audit.Continue(log_);
    taken_ = log_.size();
  }

  // Kills the relay and starts it again.
  void Restart() {
    Turn();
    log_ = world_->audit.durable();
    calls_.clear();
    asked_.clear();
    world_.reset();
    Start();
  }

  // A second intent without `resolves` is right only if no token can have come of the intents before it. Any
  // other later intent names the first one, and tells the centre its age.
  void CheckLog() const {
    struct Id {
      std::uint64_t first = 0;          // its first intent
      std::set<std::uint64_t> maybe{};  // the intents of which a token may have come
    };
    std::map<std::string, Id> ids;
    std::map<std::uint64_t, std::uint64_t> open;  // intents, and what they resolve
    for (const audit::Record& record : log_) {
      Id& id = ids[record.request_id()];
      if (record.event() == "token.intended") {
        open[record.seq()] = record.resolves();
        if (record.resolves() == 0) {
          ASSERT_TRUE(id.maybe.empty()) << record.seq();
          id.first = record.seq();
        } else {
          ASSERT_EQ(id.first, record.resolves()) << record.seq();
        }
        const auto told = upstream_.first_intended_at().find(record.seq());
        if (told == upstream_.first_intended_at().end()) continue;  // nothing was sent: durable too late
        id.maybe.insert(record.seq());
        ASSERT_LE(told->second, intended_at_.at(id.first)) << "too young: " << record.seq();
        ASSERT_GE(told->second, intended_at_.at(id.first) - kLongestToRecord) << "too old: " << record.seq();
      } else if (record.intent() != 0 && record.event() != "token.replayed") {
        ASSERT_TRUE(open.contains(record.intent())) << record.seq();
        ASSERT_EQ(record.resolves(), open[record.intent()]) << record.seq();
        open.erase(record.intent());
        if (record.event() == "token.refused") {
          id.maybe.erase(record.intent());
        } else {
          id.maybe.insert(record.intent());
        }
      }
    }
    ASSERT_TRUE(open.empty());
  }

  void CheckGetsItsToken(const std::string& id) {
    const bool has_token = upstream_.has_token(id);
    for (int call = 0; call < 300; ++call) {
      const CallSeen& seen = Ask(id);
      loop_.Advance(seconds(10));
      ASSERT_TRUE(seen.reply);
      if (!seen.released()) continue;
      ASSERT_EQ(seen.bearer(), "bearer of " + id);
      return;
    }
    FAIL() << id << (has_token ? " had a token at the centre" : " had none");
  }

  std::mt19937 random_;
  fakes::HandCrankedLoop loop_;
  RandomCentre upstream_{loop_, random_};
  std::unique_ptr<World> world_;
  std::vector<CallSeen*> calls_;  // those of this run
  std::vector<std::string> asked_;
  int calls_made_ = 0;
  std::vector<audit::Record> log_;  // the records of earlier runs
  std::size_t taken_ = 0;
  std::map<std::uint64_t, state::TimePoint> intended_at_;  // when the record was seen to be durable
};

TEST(RandomRelayFlow, EachRequestIdIsOneTokenAndItsCallerGetsIt) {
  const char* chosen = std::getenv("TOKEND_SEED");
  const unsigned seed = chosen != nullptr ? static_cast<unsigned>(std::atoi(chosen)) : std::random_device()();
  std::cout << "TOKEND_SEED=" << seed << "\n";
  const unsigned relays = std::getenv("TOKEND_LONG_TESTS") != nullptr ? 200 : 2;
  for (unsigned i = 0; i < relays; ++i) {
    RandomRelay(seed + i).Run();
    if (testing::Test::HasFatalFailure()) FAIL() << "relay " << i << " of TOKEND_SEED=" << seed;
  }
}

}  // namespace
}  // namespace tokend::flow
