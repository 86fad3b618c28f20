#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "daemon/base/failure.h"
#include "daemon/upstream/retry_budget.h"

namespace tokend::issue {

// Decides whether and when a request makes another attempt after one that created nothing. Each organization
// has a budget of retries. Loop thread only.
class RetryPolicy {
 public:
  // Called with an organization's budget, in retries, at its first request and whenever the budget changes.
  using OnBudget = std::function<void(const std::string& organization, double retries)>;

  static constexpr std::size_t kMaxAttempts = 3;  // of one request

  explicit RetryPolicy(OnBudget on_budget = {}) : on_budget_(std::move(on_budget)) {}

  // A request of the organization begins its first attempt.
  void Began(const std::string& organization);

  // How long to wait before the next attempt of a request that has made `attempts`, the last of which ended
  // with `last`. Nothing: it makes no other attempt, as its kind of failure, the number of attempts, the
  // budget or the caller's `patience` forbids it. A delay that is returned has been taken from the budget.
  std::optional<std::chrono::milliseconds> Next(const std::string& organization, const Failure& last,
                                                std::size_t attempts, std::chrono::nanoseconds patience);

 private:
  upstream::RetryBudget& BudgetOf(const std::string& organization);

  const OnBudget on_budget_;
  std::map<std::string, upstream::RetryBudget> budgets_;  // by organization, also removed ones
  std::minstd_rand jitter_{std::random_device{}()};
};

}  // namespace tokend::issue
