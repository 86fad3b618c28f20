#include "daemon/issue/retry_policy.h"

#include <algorithm>

namespace tokend::issue {
namespace {

using std::chrono::milliseconds;

constexpr double kPerAttempt = 0.1;
constexpr double kMaxBudget = 10;

constexpr milliseconds kFirstDelay{100};  // at most; each further delay is twice as long
// A request waits out a pause that the upstream asks for if it is no longer than this.
constexpr milliseconds kLongestPause{2000};

}  // namespace

double& RetryPolicy::BudgetOf(const std::string& organization) {
  const auto [budget, added] = budgets_.try_emplace(organization, kMaxBudget);
  if (added && on_budget_) on_budget_(organization, kMaxBudget);
  return budget->second;
}

void RetryPolicy::Began(const std::string& organization) {
  double& budget = BudgetOf(organization);
  if (budget >= kMaxBudget) return;
  budget = std::min(budget + kPerAttempt, kMaxBudget);
  if (on_budget_) on_budget_(organization, budget);
}

std::optional<milliseconds> RetryPolicy::Next(const std::string& organization, const Failure& last,
                                              std::size_t attempts, std::chrono::nanoseconds patience) {
  milliseconds pause{0};
  if (last.reason == Reason::kUpstreamRateLimited && last.retry_after && *last.retry_after <= kLongestPause) {
    pause = *last.retry_after;
  } else if (last.reason != Reason::kUpstreamUnavailable) {
    return std::nullopt;
  }
  double& budget = BudgetOf(organization);
  if (attempts >= kMaxAttempts || budget < 1) return std::nullopt;
  const milliseconds longest = kFirstDelay * (1 << (attempts - 1));
  const milliseconds delay =
      pause + milliseconds(std::uniform_int_distribution(longest.count() / 2, longest.count())(jitter_));
  if (delay > patience) return std::nullopt;
  budget -= 1;
  if (on_budget_) on_budget_(organization, budget);
  return delay;
}

}  // namespace tokend::issue
