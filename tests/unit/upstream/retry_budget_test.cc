#include "daemon/upstream/retry_budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace tokend::upstream {
namespace {

TEST(RetryBudget, HasTenRetriesAtFirstAndATenthOfOneMoreForEachRequest) {
  RetryBudget budget;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.Take());
  EXPECT_FALSE(budget.Take());
  for (int i = 0; i < 11; ++i) budget.Began();
  EXPECT_TRUE(budget.Take());
  EXPECT_FALSE(budget.Take());
}

TEST(RetryBudget, SavesUpTenRetriesAtMost) {
  RetryBudget budget;
  for (int i = 0; i < 1000; ++i) budget.Began();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.Take());
  EXPECT_FALSE(budget.Take());
}

TEST(RetryBudget, TellsOfItselfFromTheFirstRequestOnAndWheneverItChanges) {
  std::vector<double> told;
  RetryBudget budget([&told](double retries) { told.push_back(retries); });
  budget.Began();
  budget.Began();
  EXPECT_EQ(told, (std::vector<double>{10}));
  budget.Take();
  EXPECT_EQ(told, (std::vector<double>{10, 9}));
}

}  // namespace
}  // namespace tokend::upstream
