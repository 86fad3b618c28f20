#include "daemon/issue/retry_policy.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>

namespace tokend::issue {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr int kFullBudget = 10;

const Failure kNotSent{.reason = Reason::kUpstreamUnavailable};

Failure RateLimited(std::optional<milliseconds> retry_after) {
  return {.reason = Reason::kUpstreamRateLimited, .retry_after = retry_after};
}

class RetryPolicyTest : public testing::Test {
 protected:
  std::optional<milliseconds> Next(const Failure& last = kNotSent, std::size_t attempts = 1,
                                   std::chrono::nanoseconds patience = minutes(1),
                                   const std::string& organization = "acme") {
    return policy_.Next(organization, last, attempts, patience);
  }
  void SpendTheBudget() {
    for (int i = 0; i < kFullBudget; ++i) ASSERT_TRUE(Next());
  }

  std::map<std::string, double> told_;
  RetryPolicy policy_{
      [this](const std::string& organization, double retries) { told_[organization] = retries; }};
};

TEST_F(RetryPolicyTest, TriesAgainAfterARandomDelayThatDoublesWithEachAttempt) {
  for (int i = 0; i < kFullBudget / 2; ++i) {
    const auto second = Next(kNotSent, 1);
    const auto third = Next(kNotSent, 2);
    ASSERT_TRUE(second && third);
    EXPECT_GE(*second, milliseconds(50));
    EXPECT_LE(*second, milliseconds(100));
    EXPECT_GE(*third, milliseconds(100));
    EXPECT_LE(*third, milliseconds(200));
  }
}

TEST_F(RetryPolicyTest, MakesThreeAttemptsAtMost) {
  EXPECT_TRUE(Next(kNotSent, 2));
  EXPECT_FALSE(Next(kNotSent, 3));
}

TEST_F(RetryPolicyTest, TriesAgainOnlyWhatTheUpstreamDidNotGetOrAskedToRepeat) {
  for (int reason = static_cast<int>(Reason::kInvalidRequest);
       reason <= static_cast<int>(Reason::kLimitsUnavailable); ++reason) {
    const Failure last{.reason = Reason{reason}, .retry_after = milliseconds(1)};
    const bool again =
        last.reason == Reason::kUpstreamUnavailable || last.reason == Reason::kUpstreamRateLimited;
    EXPECT_EQ(Next(last).has_value(), again) << Name(last.reason);
  }
}

TEST_F(RetryPolicyTest, WaitsOutAShortPauseThatTheUpstreamAsksFor) {
  const auto pause = Next(RateLimited(seconds(2)));
  ASSERT_TRUE(pause);
  EXPECT_GE(*pause, seconds(2) + milliseconds(50));
  EXPECT_LE(*pause, seconds(2) + milliseconds(100));
  EXPECT_FALSE(Next(RateLimited(milliseconds(2001))));
  EXPECT_FALSE(Next(RateLimited(std::nullopt)));
}

TEST_F(RetryPolicyTest, MakesNoRetryThatComesTooLateForItsCallerAndSpendsNothingForIt) {
  EXPECT_FALSE(Next(kNotSent, 1, milliseconds(49)));
  EXPECT_TRUE(Next(kNotSent, 1, milliseconds(100)));
  for (int i = 1; i < kFullBudget; ++i) EXPECT_TRUE(Next());
  EXPECT_FALSE(Next());
}

TEST_F(RetryPolicyTest, HasTenRetriesAtFirstAndATenthOfOneMoreForEachRequest) {
  SpendTheBudget();
  EXPECT_FALSE(Next());
  for (int i = 0; i < 11; ++i) policy_.Began("acme");
  EXPECT_TRUE(Next());
  EXPECT_FALSE(Next());
}

TEST_F(RetryPolicyTest, SavesUpTenRetriesAtMost) {
  for (int i = 0; i < 1000; ++i) policy_.Began("acme");
  SpendTheBudget();
  EXPECT_FALSE(Next());
}

TEST_F(RetryPolicyTest, HasABudgetForEachOrganization) {
  SpendTheBudget();
  EXPECT_FALSE(Next());
  EXPECT_TRUE(Next(kNotSent, 1, minutes(1), "other"));
}

TEST_F(RetryPolicyTest, TellsOfABudgetFromTheFirstRequestOnAndWheneverItChanges) {
  policy_.Began("acme");
  EXPECT_EQ(told_, (std::map<std::string, double>{{"acme", 10}}));
  Next();
  EXPECT_EQ(told_["acme"], 9);
  policy_.Began("acme");
  EXPECT_DOUBLE_EQ(told_["acme"], 9.1);
}

}  // namespace
}  // namespace tokend::issue
