#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/fakes/scripted_upstream.h"
#include "tests/flow/world.h"

namespace tokend::flow {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Disk = fakes::MemoryAuditLog::Disk;
using Events = std::vector<std::string>;

class Issuance : public testing::Test {
 protected:
  void Run() { loop.RunPending(); }

  CallSeen& Ask(const fakes::Request& request = {}, const std::string& caller = "ci") {
    CallSeen& seen = world.Ask(request, caller);
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

  const audit::Record& last() const { return world.audit.durable().back(); }

  static MintOutcome RefusedFor(Reason reason) {
    return {Refused{{.reason = reason, .detail = "said no"}}, {}};
  }
  static MintOutcome UnclearFor(Reason reason) {
    return {Indeterminate{{.reason = reason, .detail = "nobody knows"}, nullptr}, {}};
  }

  fakes::HandCrankedLoop loop;
  fakes::ScriptedUpstream upstream{loop};
  World world{upstream, loop, {.slots = 2}};
};

TEST_F(Issuance, IntentThenPostThenOutcomeThenBearer) {
  CallSeen& call = Ask({.request_id = kRequestId});
  EXPECT_EQ(world.audit.events(), Events{"token.intended"});
  ASSERT_EQ(upstream.posts(), 1);
  EXPECT_EQ(upstream.waiting().front().intent, 1U);
  EXPECT_FALSE(call.reply);

  Mint();
  EXPECT_EQ(world.audit.events(), (Events{"token.intended", "token.issued"}));
  EXPECT_EQ(last().intent(), 1U);
  EXPECT_EQ(last().request_id(), kRequestId);
  EXPECT_EQ(call.bearer(), "bearer-1");
  EXPECT_EQ(call.release().receipt.sequence(), 2U);
}

TEST_F(Issuance, EachRecordHasTheTraceOfItsCall) {
  Ask({.request_id = kRequestId, .trace = "0af7651916cd43dd8448eb211c80319c"});
  EXPECT_EQ(last().trace(), "0af7651916cd43dd8448eb211c80319c");
  Mint();
  EXPECT_EQ(last().trace(), "0af7651916cd43dd8448eb211c80319c");
  Ask({.request_id = kRequestId, .trace = "4bf92f3577b34da6a3ce929d0e0e4736"});
  EXPECT_EQ(last().event(), "token.replayed");
  EXPECT_EQ(last().trace(), "4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST_F(Issuance, TellsTheUpstreamItsRequestIdAndTheCallersDeadline) {
  const auto deadline = loop.clock().Now() + seconds(30);
  Ask({.request_id = kRequestId});
  const upstream::MintRequest& request = upstream.waiting().front().request;
  EXPECT_EQ(request.request_id, kRequestId);
  EXPECT_EQ(request.deadline, deadline);
}

TEST_F(Issuance, SendsNothingBeforeItsIntentIsDurable) {
  world.audit.SetDisk(Disk::kHangs);
  Ask();
  EXPECT_EQ(upstream.posts(), 0);
  world.audit.SetDisk(Disk::kWorks);
  Run();
  EXPECT_EQ(upstream.posts(), 1);
}

TEST_F(Issuance, ReleasesNoBearerBeforeItsOutcomeIsDurable) {
  CallSeen& call = Ask();
  world.audit.SetDisk(Disk::kHangs);
  Mint();
  EXPECT_FALSE(call.reply);
  world.audit.SetDisk(Disk::kWorks);
  Run();
  EXPECT_EQ(call.bearer(), "bearer-1");
}

TEST_F(Issuance, FailsWhenTheIntentIsNotDurableInTimeAndNeverSends) {
  world.audit.SetDisk(Disk::kHangs);
  CallSeen& call = Ask({.request_id = kRequestId});
  loop.Advance(seconds(2));
  EXPECT_EQ(call.failure().reason, Reason::kAuditUnavailable);
  EXPECT_TRUE(call.failure().retry_after);

  world.audit.SetDisk(Disk::kWorks);
  Run();
  EXPECT_EQ(world.audit.events(), (Events{"token.intended", "request.failed", "token.refused"}));
  EXPECT_EQ(last().intent(), 1U);
  EXPECT_EQ(upstream.posts(), 0);
  EXPECT_EQ(call.replies, 1);
}

TEST_F(Issuance, SameRequestIdMayTryAgainAfterAnIntentThatWasLost) {
  world.audit.SetDisk(Disk::kFails);
  EXPECT_EQ(Ask({.request_id = kRequestId}).failure().reason, Reason::kAuditUnavailable);
  world.audit.SetDisk(Disk::kWorks);
  CallSeen& again = Ask({.request_id = kRequestId});
  Mint();
  EXPECT_EQ(again.bearer(), "bearer-1");
}

TEST_F(Issuance, OutcomeNotDurableInTimeIsUnknownAndLaterAnswersTheSameRequestId) {
  CallSeen& call = Ask({.request_id = kRequestId});
  world.audit.SetDisk(Disk::kHangs);
  Mint();
  loop.Advance(seconds(2));
  EXPECT_EQ(call.failure().reason, Reason::kOutcomeUnknown);
  EXPECT_EQ(call.failure().audit_sequence, 1U);
  EXPECT_EQ(Ask({.request_id = kRequestId}).failure().reason, Reason::kOutcomeUnknown);

  world.audit.SetDisk(Disk::kWorks);
  Run();
  CallSeen& later = Ask({.request_id = kRequestId});
  EXPECT_EQ(later.bearer(), "bearer-1");
  EXPECT_EQ(later.release().kind, issue::Released::Kind::kReplayed);
  EXPECT_EQ(upstream.posts(), 1);
}

TEST_F(Issuance, RefusalNotRecordedInTimeIsUnknownUntilItIsRecorded) {
  CallSeen& call = Ask({.request_id = kRequestId});
  world.audit.SetDisk(Disk::kHangs);
  Answer(RefusedFor(Reason::kUpstreamRejected));
  loop.Advance(seconds(2));
  EXPECT_EQ(call.failure().reason, Reason::kOutcomeUnknown);
  world.audit.SetDisk(Disk::kWorks);
  Run();
  Ask({.request_id = kRequestId});
  EXPECT_EQ(upstream.posts(), 2);
}

TEST_F(Issuance, AnswersTheSameRequestIdOnceMintedWithTheSameToken) {
  Ask({.request_id = kRequestId});
  Mint();
  CallSeen& again = Ask({.request_id = kRequestId});
  EXPECT_EQ(again.bearer(), "bearer-1");
  EXPECT_EQ(again.release().kind, issue::Released::Kind::kReplayed);
  EXPECT_EQ(last().event(), "token.replayed");
  EXPECT_EQ(last().intent(), 1U);
  EXPECT_EQ(again.release().receipt.sequence(), last().seq());
  EXPECT_EQ(upstream.posts(), 1);
}

TEST_F(Issuance, ReplayWaitsForItsRecordToo) {
  Ask({.request_id = kRequestId});
  Mint();
  world.audit.SetDisk(Disk::kHangs);
  CallSeen& again = Ask({.request_id = kRequestId});
  EXPECT_FALSE(again.reply);
  loop.Advance(seconds(2));
  EXPECT_EQ(again.failure().reason, Reason::kAuditUnavailable);
}

TEST_F(Issuance, JoinsACallThatRunsUnderTheSameRequestId) {
  CallSeen& first = Ask({.request_id = kRequestId});
  CallSeen& second = Ask({.request_id = kRequestId});
  EXPECT_EQ(upstream.posts(), 1);
  Mint();
  EXPECT_EQ(first.bearer(), "bearer-1");
  EXPECT_EQ(second.bearer(), "bearer-1");
  EXPECT_EQ(second.release().kind, issue::Released::Kind::kReplayed);
}

TEST_F(Issuance, RequestIdOfAnotherRequestIsRefused) {
  Ask({.request_id = kRequestId});
  Mint();
  EXPECT_EQ(Ask({.application = "other-app", .request_id = kRequestId}).failure().reason,
            Reason::kRequestIdReused);
  EXPECT_EQ(last().event(), "request.invalid");
}

TEST_F(Issuance, RequestIdsOfDifferentCallersHaveNothingToDoWithEachOther) {
  CallSeen& first = Ask({.request_id = kRequestId});
  CallSeen& other = Ask({.request_id = kRequestId}, "ci-other");
  EXPECT_EQ(upstream.posts(), 2);
  Mint();
  Mint();
  EXPECT_EQ(first.bearer(), "bearer-1");
  EXPECT_EQ(other.bearer(), "bearer-2");
  EXPECT_EQ(Ask({.request_id = kRequestId}).bearer(), "bearer-1");
  EXPECT_EQ(Ask({.request_id = kRequestId}, "ci-other").bearer(), "bearer-2");
}

TEST_F(Issuance, RequestIdsOfARelaysCallersHaveNothingToDoWithEachOther) {
  const auto ask = [this](const std::string& on_behalf_of) -> CallSeen& {
    return Ask({.request_id = kRequestId, .relayed = Relayed{.on_behalf_of = on_behalf_of}}, "ci-relay");
  };
  CallSeen& first = ask("pod-a");
  EXPECT_EQ(last().caller().name(), "ci-relay");
  EXPECT_EQ(last().caller().on_behalf_of(), "pod-a");
  CallSeen& other = ask("pod-b");
  EXPECT_EQ(upstream.posts(), 2);
  Mint();
  EXPECT_EQ(last().caller().on_behalf_of(), "pod-a");
  Mint();
  EXPECT_EQ(first.bearer(), "bearer-1");
  EXPECT_EQ(other.bearer(), "bearer-2");
  EXPECT_EQ(ask("pod-a").bearer(), "bearer-1");
  EXPECT_EQ(last().event(), "token.replayed");
  EXPECT_EQ(last().caller().on_behalf_of(), "pod-a");
}

TEST_F(Issuance, ARelayTellsTheDigestByWhichARetryIsKnown) {
  const std::string digest = "1:" + std::string(64, 'a');
  fakes::Request request{.description = "as the relay's template has it",
                         .request_id = kRequestId,
                         .relayed = Relayed{.on_behalf_of = "pod-a", .digest = digest}};
  Ask(request, "ci-relay");
  EXPECT_EQ(last().digest(), digest);
  Mint();
  request.description = "as another template has it";
  EXPECT_EQ(Ask(request, "ci-relay").bearer(), "bearer-1");
  request.relayed->digest = "1:" + std::string(64, 'b');
  EXPECT_EQ(Ask(request, "ci-relay").failure().reason, Reason::kRequestIdReused);
  request.relayed->digest.clear();
  EXPECT_EQ(Ask(request, "ci-relay").failure().reason, Reason::kRequestIdReused) << "its own digest counts";
}

TEST_F(Issuance, InQuarantineARelaysRequestIdIsServedIfItsAgeShowsThatItIsNotLost) {
  world.state.BeginQuarantine(loop.clock().Now() + minutes(9), "the log is gone");  // a minute ago
  int asked = 0;
  const auto ask = [&](std::optional<seconds> age) -> CallSeen& {
    return Ask({.request_id = "018f3b2a-0000-7000-8000-00000000000" + std::to_string(++asked),
                .relayed = Relayed{.on_behalf_of = "pod-a", .age = age}},
               "ci-relay");
  };
  EXPECT_FALSE(ask(seconds(0)).reply);
  EXPECT_FALSE(ask(seconds(59)).reply);
  EXPECT_EQ(upstream.posts(), 2);
  for (const auto age : {std::optional(seconds(60)), std::optional<seconds>()}) {
    const Failure& failure = ask(age).failure();
    EXPECT_EQ(failure.reason, Reason::kLimitsUnavailable);
    EXPECT_TRUE(failure.retry_after);
    EXPECT_EQ(last().event(), "request.failed");
    EXPECT_EQ(last().caller().on_behalf_of(), "pod-a");
  }
}

TEST_F(Issuance, WhatARelaysCallerDoesNotWaitForIsNotBegunButGoesOnOnceItIs) {
  const auto ask = [this](std::chrono::milliseconds timeout) -> CallSeen& {
    return Ask({.relayed = Relayed{.on_behalf_of = "pod-a", .age = seconds(0), .caller_timeout = timeout}},
               "ci-relay");
  };
  CallSeen& begun = ask(seconds(2));
  ask(seconds(20));
  CallSeen& late = ask(seconds(2));
  EXPECT_EQ(ask(std::chrono::milliseconds(0)).failure().reason, Reason::kOverloaded);
  loop.Advance(seconds(2));
  EXPECT_EQ(late.failure().reason, Reason::kOverloaded);
  EXPECT_FALSE(begun.reply);
  EXPECT_EQ(upstream.waiting().front().request.deadline, upstream.waiting().back().request.deadline);
  Mint();
  EXPECT_TRUE(begun.released());
  EXPECT_EQ(upstream.posts(), 2);
}

TEST_F(Issuance, RetryIsComparedAsItWasSentSoDefaultsSpelledOutAreAnotherRequest) {
  Ask({.request_id = kRequestId});
  Mint();
  EXPECT_EQ(Ask({.scopes = {"sdk"}, .request_id = kRequestId}).failure().reason, Reason::kRequestIdReused);
}

TEST_F(Issuance, IntentHoldsTheDigestOfWhatWasSent) {
  Ask({.organization = "", .description = "nightly", .request_id = kRequestId});
  const auto digest = state::DigestOf("ci", "", "ios-app", {}, "nightly");
  EXPECT_EQ(last().event(), "token.intended");
  EXPECT_EQ(last().digest(), state::ToText(digest));
  Mint();
  EXPECT_EQ(last().digest(), "");
}

TEST_F(Issuance, RetryGetsItsTokenWhateverBecameOfDefaultsAndTemplate) {
  const fakes::Request request{.organization = "", .description = "nightly", .request_id = kRequestId};
  Ask(request);
  Mint();
  config::Grant changed = EveryonesGrant();
  changed.default_scopes = {"beta"};
  for (const std::string& description : {std::string("{caller}"), std::string(1001, 'x')}) {
    changed.description_template = description;
    for (const std::vector<std::string>& organizations :
         {std::vector<std::string>{"acme"}, std::vector<std::string>{"acme", "other"}}) {
      world.Reload(changed, organizations);
      CallSeen& again = Ask(request);
      ASSERT_TRUE(again.released());
      EXPECT_EQ(again.bearer(), "bearer-1");
      EXPECT_EQ(last().event(), "token.replayed");
      EXPECT_EQ(last().target().organization(), "acme");
      EXPECT_EQ(last().target().scopes(0), "sdk");
      EXPECT_EQ(last().target().description(), "nightly");
      EXPECT_EQ(last().grant(), "everyone");
    }
  }
  EXPECT_EQ(upstream.posts(), 1);
}

TEST_F(Issuance, RetryJoinsItsFirstCallWhateverBecameOfTheDefaults) {
  CallSeen& first = Ask({.request_id = kRequestId});
  config::Grant changed = EveryonesGrant();
  changed.default_scopes = {"beta"};
  world.Reload(changed);
  CallSeen& again = Ask({.request_id = kRequestId});
  EXPECT_EQ(upstream.posts(), 1);
  Mint();
  EXPECT_EQ(first.bearer(), "bearer-1");
  EXPECT_EQ(again.bearer(), "bearer-1");
}

TEST_F(Issuance, RetryIsDeniedWhatItsFirstCallMayNotHaveAnyMore) {
  Ask({.request_id = kRequestId});
  Mint();
  config::Grant changed = EveryonesGrant();
  changed.scopes = changed.default_scopes = {"beta"};
  world.Reload(changed);
  EXPECT_EQ(Ask({.request_id = kRequestId}).failure().reason, Reason::kNotPermitted);
  EXPECT_EQ(upstream.posts(), 1);
}

TEST_F(Issuance, RetryOfAnUnknownOutcomeIsDeniedWhatItsFirstCallMayNotHaveAnyMore) {
  Ask({.request_id = kRequestId});
  Answer(UnclearFor(Reason::kOutcomeUnknown));
  EXPECT_EQ(Ask({.request_id = kRequestId}).failure().reason, Reason::kOutcomeUnknown);
  config::Grant changed = EveryonesGrant();
  changed.scopes = changed.default_scopes = {"beta"};
  world.Reload(changed);
  EXPECT_EQ(Ask({.request_id = kRequestId}).failure().reason, Reason::kNotPermitted);
}

TEST_F(Issuance, NewRequestIdWithoutAnOrganizationIsInvalidWhereSeveralAreConfigured) {
  world.Reload(EveryonesGrant(), {"acme", "other"});
  for (const char* request_id : {kRequestId, ""}) {
    const Failure& failure = Ask({.organization = "", .request_id = request_id}).failure();
    EXPECT_EQ(failure.reason, Reason::kInvalidRequest);
    ASSERT_EQ(failure.fields.size(), 1U);
    EXPECT_EQ(failure.fields[0].field, "organization");
    EXPECT_EQ(last().event(), "request.invalid");
  }
  EXPECT_EQ(world.state.entries(), 0U) << "nothing is claimed";
}

TEST_F(Issuance, InQuarantineANewRequestIdOfACallerIsRefusedAndRecordedAndOthersGoOn) {
  Ask({.request_id = kRequestId});
  Mint();
  world.state.BeginQuarantine(loop.clock().Now() + minutes(5), "the log is gone");
  const Failure& failure = Ask({.request_id = "018f3b2a-0000-7000-8000-0123456789ac"}).failure();
  EXPECT_EQ(failure.reason, Reason::kLimitsUnavailable);
  EXPECT_EQ(failure.retry_after, minutes(5));
  EXPECT_EQ(last().event(), "request.failed");
  EXPECT_THAT(last().detail(), testing::HasSubstr("quarantine"));
  EXPECT_EQ(Ask({.request_id = kRequestId}).bearer(), "bearer-1");
  CallSeen& own = Ask({});
  Mint();
  EXPECT_TRUE(own.released());
  EXPECT_EQ(upstream.posts(), 2);
}

TEST_F(Issuance, UnknownOutcomeStaysUnknownAndIsNeverSentAgain) {
  CallSeen& call = Ask({.request_id = kRequestId});
  Answer(UnclearFor(Reason::kOutcomeUnknown));
  EXPECT_EQ(last().event(), "token.unknown");
  EXPECT_EQ(last().reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(call.failure().audit_sequence, last().seq());
  CallSeen& again = Ask({.request_id = kRequestId});
  EXPECT_EQ(again.failure().reason, Reason::kOutcomeUnknown);
  EXPECT_EQ(again.failure().audit_sequence, 2U);
  EXPECT_EQ(upstream.posts(), 1);
}

TEST_F(Issuance, RejectedAnswerThatCarriedABearerIsWithheld) {
  CallSeen& call = Ask();
  auto token = std::make_shared<Token>();
  token->id = "aaaaaaaaaaaaaaaaaaaaaaaa";
  token->bearer = Bearer("bearer-withheld");
  Answer({Indeterminate{{.reason = Reason::kUpstreamInvalidResponse}, token}, {.http_status = 200}});
  EXPECT_EQ(last().event(), "token.withheld");
  EXPECT_EQ(last().token().id(), "aaaaaaaaaaaaaaaaaaaaaaaa");
  EXPECT_EQ(call.failure().reason, Reason::kUpstreamInvalidResponse);
}

TEST_F(Issuance, RefusalIsRecordedAndTheRequestIdForgotten) {
  CallSeen& call = Ask({.request_id = kRequestId});
  Answer(RefusedFor(Reason::kApplicationNotFound));
  EXPECT_EQ(last().event(), "token.refused");
  EXPECT_EQ(call.failure().reason, Reason::kApplicationNotFound);
  EXPECT_EQ(call.failure().audit_sequence, last().seq());
  Ask({.request_id = kRequestId});
  EXPECT_EQ(upstream.posts(), 2);
}

TEST_F(Issuance, DenialIsRecordedWithWhatWasMissing) {
  EXPECT_EQ(Ask({}, "stranger").failure().reason, Reason::kNotPermitted);
  EXPECT_EQ(last().event(), "request.denied");
  EXPECT_EQ(last().reason(), "NOT_PERMITTED");
  EXPECT_EQ(last().detail(), "no grant names this caller");
  EXPECT_EQ(upstream.posts(), 0);
}

TEST_F(Issuance, ValidateOnlySpendsNothingAndIsRecorded) {
  CallSeen& call = Ask({.description = "try", .request_id = kRequestId, .validate_only = true});
  const auto& validated = std::get<issue::Validated>(call.reply.value());
  EXPECT_EQ(validated.token->description, "try");
  EXPECT_EQ(validated.token->scopes, std::vector<std::string>{"sdk"});
  EXPECT_TRUE(validated.token->id.empty());
  EXPECT_TRUE(validated.token->bearer.empty());
  EXPECT_EQ(validated.audit_sequence, 1U);
  EXPECT_EQ(world.audit.events(), Events{"request.validated"});
  EXPECT_EQ(upstream.posts(), 0);
  EXPECT_EQ(world.state.entries(), 0U);
}

TEST_F(Issuance, DescriptionIsHeldToItsMaximumAfterTheTemplate) {
  EXPECT_FALSE(Ask({.description = std::string(1000, 'd')}).reply);
  EXPECT_EQ(upstream.posts(), 1);
}

TEST_F(Issuance, CallsBeyondTheUpstreamsSlotsWaitTheirTurn) {
  Ask();
  Ask();
  CallSeen& third = Ask();
  EXPECT_EQ(upstream.posts(), 2);
  EXPECT_FALSE(third.reply);
  Mint();
  EXPECT_EQ(upstream.posts(), 3);
}

TEST_F(Issuance, CallerThatLeavesTheQueueTakesNoSlotAndLeavesNoIntent) {
  Ask();
  Ask();
  CallSeen& third = Ask();
  third.call->Cancel();
  Run();
  EXPECT_TRUE(third.abandoned());
  EXPECT_EQ(last().event(), "request.failed");
  Mint();
  Mint();
  EXPECT_EQ(upstream.posts(), 2);
  EXPECT_EQ(world.state.entries(), 2U);
}

TEST_F(Issuance, JoinedCallInheritsTheTurnOfACallerThatLeft) {
  Ask();
  Ask();
  CallSeen& first = Ask({.request_id = kRequestId});
  CallSeen& joined = Ask({.request_id = kRequestId});
  first.call->Cancel();
  Run();
  Mint();
  Mint();
  Mint();
  EXPECT_EQ(joined.bearer(), "bearer-3");
  EXPECT_EQ(joined.release().kind, issue::Released::Kind::kIssued);
}

TEST_F(Issuance, JoinedCallerMayLeaveAndTheFirstGoesOn) {
  CallSeen& first = Ask({.request_id = kRequestId});
  CallSeen& joined = Ask({.request_id = kRequestId});
  joined.call->Cancel();
  Run();
  EXPECT_TRUE(joined.abandoned());
  Mint();
  EXPECT_EQ(first.bearer(), "bearer-1");
  EXPECT_EQ(joined.replies, 1);
}

TEST_F(Issuance, RunsOnToItsRecordedEndWhenTheCallerLeavesAfterTheIntent) {
  CallSeen& call = Ask({.request_id = kRequestId});
  call.call->Cancel();
  Run();
  Mint();
  EXPECT_EQ(last().event(), "token.issued");
  EXPECT_EQ(Ask({.request_id = kRequestId}).bearer(), "bearer-1");
}

TEST_F(Issuance, TokenThatNobodyCanAskForIsWithheld) {
  CallSeen& call = Ask();
  call.call->Cancel();
  Run();
  Mint();
  EXPECT_EQ(last().event(), "token.withheld");
  EXPECT_EQ(last().intent(), 1U);
  EXPECT_FALSE(last().token().id().empty());
  EXPECT_FALSE(call.released());
}

TEST_F(Issuance, StoppingFailsWhoWaitsAndLetsRunningCallsEnd) {
  CallSeen& running = Ask();
  Ask();
  CallSeen& queued = Ask();
  world.live.Stop();
  Run();
  EXPECT_EQ(queued.failure().reason, Reason::kShuttingDown);
  EXPECT_EQ(Ask().failure().reason, Reason::kShuttingDown);
  Mint();
  EXPECT_TRUE(running.released());
}

TEST_F(Issuance, IsLiveUntilItsLateIntentIsEnded) {
  world.audit.SetDisk(Disk::kHangs);
  CallSeen& call = Ask();
  loop.Advance(seconds(3));
  EXPECT_EQ(call.failure().reason, Reason::kAuditUnavailable);
  EXPECT_FALSE(world.live.WaitNone({}));
  world.audit.SetDisk(Disk::kWorks);
  Run();
  EXPECT_EQ(last().event(), "token.refused");
  EXPECT_TRUE(world.live.WaitNone({}));
}

TEST_F(Issuance, IsLiveUntilItsEndIsRecorded) {
  Ask();
  world.audit.SetDisk(Disk::kHangs);
  Mint();
  loop.Advance(seconds(3));
  EXPECT_FALSE(world.live.WaitNone({}));
  world.audit.SetDisk(Disk::kWorks);
  Run();
  EXPECT_TRUE(world.live.WaitNone({}));
}

}  // namespace
}  // namespace tokend::flow
