#include "daemon/upstream/availability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "daemon/upstream/central_failures.h"
#include "tests/fakes/hand_cranked_loop.h"

// tests/flow/pacing_test.cc tests how organizations at Applivery are judged.
namespace tokend::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kAddress[] = "tokend.platform.svc:8443";

class CentreAvailabilityTest : public testing::Test {
 protected:
  std::optional<Failure> Ask(const MintOutcome& outcome, const std::string& application = "ios-app") {
    auto entered = availability_.Enter({"acme", application, "ci"});
    if (const auto* refused = std::get_if<Failure>(&entered)) return *refused;
    availability_.Report(std::get<Availability::Permit>(std::move(entered)), outcome);
    return std::nullopt;
  }
  bool passes(const std::string& application = "ios-app") {
    return !availability_.Check({"acme", application, "ci"});
  }

  static MintOutcome Unreachable() { return {Refused{CentreUnreachable("connection refused")}, {}}; }
  static MintOutcome Lost() {
    return {Indeterminate{{.reason = Reason::kOutcomeUnknown, .detail = "reset"}, nullptr}, {}};
  }
  static MintOutcome Answered(Reason reason) {
    return {Refused{{.reason = reason, .retry_after = seconds(60)}},
            {.http_status = 200, .key_generation = 1, .centre = Centre::kWorks}};
  }
  MintOutcome Rejected() const {
    return {Refused{CentreRejectsRelay()},
            {.http_status = 200, .key_generation = generation_, .centre = Centre::kRejects}};
  }

  fakes::HandCrankedLoop loop_;
  std::uint64_t generation_ = 1;
  std::map<std::pair<std::string, Block>, bool> told_;
  Availability availability_{loop_, Availability::CentralTokend{kAddress, [this] { return generation_; }},
                             [this](const std::string& name, Block block, bool blocked, const std::string&) {
                               told_[{name, block}] = blocked;
                             }};
};

TEST_F(CentreAvailabilityTest, IsToldUnderTheAddressOfTheCentre) {
  EXPECT_EQ(told_.size(), kBlocks.size());
  for (const auto& [whose, blocked] : told_) {
    EXPECT_EQ(whose.first, kAddress);
    EXPECT_FALSE(blocked);
  }
}

TEST_F(CentreAvailabilityTest, OpensTheBreakerOfTheCentreAsAWholeAfterFiveRequestsWithoutAConnection) {
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Ask(Unreachable()));
  EXPECT_FALSE(passes("another-app"));
  const auto refusal = Ask(Unreachable());
  EXPECT_EQ(refusal->reason, Reason::kUpstreamUnavailable);
  EXPECT_THAT(refusal->message, HasSubstr("the central tokend cannot be reached"));
  EXPECT_THAT(availability_.Troubles(),
              ElementsAre(HasSubstr("central tokend tokend.platform.svc:8443: upstream fails")));
  EXPECT_TRUE((told_[{kAddress, Block::kBreakerOpen}]));
}

TEST_F(CentreAvailabilityTest, OpensOneApplicationsBreakerWhereOnlyItsRequestsAreLost) {
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Ask(Lost()));
  EXPECT_FALSE(passes());
  EXPECT_TRUE(passes("another-app"));
}

TEST_F(CentreAvailabilityTest, TakesEveryAnswerOfTheCentreAsASignThatItWorks) {
  for (int number = 1; number <= static_cast<int>(Reason::kLimitsUnavailable); ++number) {
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(Ask(Unreachable()));
    EXPECT_FALSE(Ask(Answered(Reason{number}))) << Name(Reason{number});
    EXPECT_TRUE(passes()) << Name(Reason{number});
    EXPECT_TRUE(passes("another-app"));
  }
  EXPECT_TRUE(availability_.Troubles().empty());
}

TEST_F(CentreAvailabilityTest, LearnsNothingFromARequestForWhichTheCentreHadNoTime) {
  MintOutcome unheard = Lost();
  unheard.exchange.centre = Centre::kUnheard;
  for (const char* application : {"a-1", "a-2", "a-3", "a-4"}) {
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(Ask(unheard, application));
  }
  EXPECT_TRUE(passes());
}

TEST_F(CentreAvailabilityTest, CoolsFrom1SecondDoublingTo5WhereTheCentreRejectsTheRelay) {
  for (const seconds pause : {seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)}) {
    EXPECT_FALSE(Ask(Rejected()));
    const auto refusal = Ask(Rejected());
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->reason, Reason::kUpstreamKeyRejected);
    EXPECT_STREQ(refusal->message, "the central tokend does not accept this relay's credentials");
    loop_.Advance(pause - milliseconds(1));
    EXPECT_FALSE(passes("another-app"));
    loop_.Advance(milliseconds(1));
  }
  EXPECT_THAT(availability_.Troubles(),
              ElementsAre(HasSubstr("it does not accept this relay's credentials")));
}

TEST_F(CentreAvailabilityTest, AsksAtOnceWithOtherCredentials) {
  EXPECT_FALSE(Ask(Rejected()));
  EXPECT_FALSE(passes());
  ++generation_;
  EXPECT_TRUE(passes());
  EXPECT_TRUE(availability_.Troubles().empty());
}

TEST_F(CentreAvailabilityTest, TakesARejectionOfOldCredentialsForNothing) {
  auto entered = availability_.Enter({"acme", "ios-app", "ci"});
  const MintOutcome old = Rejected();
  ++generation_;
  availability_.Report(std::get<Availability::Permit>(std::move(entered)), old);
  EXPECT_TRUE(passes());
}

TEST_F(CentreAvailabilityTest, KeepsWhatItKnowsWhenKeysAreReloaded) {
  EXPECT_FALSE(Ask(Rejected()));
  availability_.UseKeys({});
  EXPECT_FALSE(passes());
}

}  // namespace
}  // namespace tokend::upstream
