#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "daemon/base/failure.h"

namespace tokend::issue {

// Which attempts that created nothing are worth another, and when. A budget of each organization holds all
// its retries to a tenth of its first attempts, and 10 beyond that, so that they cannot multiply an outage.
// Loop thread only.
class RetryPolicy {
 public:
  // Told of an organization's budget, in retries, with its first request and when it has changed.
  using OnBudget = std::function<void(const std::string& organization, double retries)>;

  static constexpr std::size_t kMaxAttempts = 3;  // of one request

  explicit RetryPolicy(OnBudget on_budget = {}) : on_budget_(std::move(on_budget)) {}

  // A request makes its first attempt.
  void Began(const std::string& organization);

  // How long to wait before the next attempt, after `attempts` of which the last ended so, and where the
  // caller waits for no longer than `patience`; nothing: there is none. One that there is has been taken from
  // the budget.
  std::optional<std::chrono::milliseconds> Next(const std::string& organization, const Failure& last,
                                                std::size_t attempts, std::chrono::nanoseconds patience);

 private:
  double& BudgetOf(const std::string& organization);

  const OnBudget on_budget_;
  std::map<std::string, double> budgets_;  // of organizations that are configured, or were
  std::minstd_rand jitter_{std::random_device{}()};
};

}  // namespace tokend::issue
