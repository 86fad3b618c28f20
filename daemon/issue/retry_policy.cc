#include "daemon/issue/retry_policy.h"

namespace tokend::issue {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay{100};  // at most; each further delay is twice as long
// A request waits out a pause that the upstream asks for if it is no longer than this.
constexpr milliseconds kLongestPause{2000};

}  // namespace

upstream::RetryBudget& RetryPolicy::BudgetOf(const std::string& organization) {
  const auto found = budgets_.find(organization);
  if (found != budgets_.end()) return found->second;
  return budgets_
      .try_emplace(organization,
                   [tell = on_budget_, organization](double retries) {
                     if (tell) tell(organization, retries);
                   })
      .first->second;
}

void RetryPolicy::Began(const std::string& organization) { BudgetOf(organization).Began(); }

std::optional<milliseconds> RetryPolicy::Next(const std::string& organization, const Failure& last,
                                              std::size_t attempts, std::chrono::nanoseconds patience) {
  milliseconds pause{0};
  if (last.reason == Reason::kUpstreamRateLimited && last.retry_after && *last.retry_after <= kLongestPause) {
    pause = *last.retry_after;
  } else if (last.reason != Reason::kUpstreamUnavailable) {
    return std::nullopt;
  }
  if (attempts >= kMaxAttempts) return std::nullopt;
  const milliseconds longest = kFirstDelay * (1 << (attempts - 1));
  const milliseconds delay =
      pause + milliseconds(std::uniform_int_distribution(longest.count() / 2, longest.count())(jitter_));
  if (delay > patience || !BudgetOf(organization).Take()) return std::nullopt;
  return delay;
}

}  // namespace tokend::issue
