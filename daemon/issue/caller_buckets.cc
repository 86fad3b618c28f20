#include "daemon/issue/caller_buckets.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "daemon/state/charges.h"

namespace tokend::issue {
namespace {

constexpr std::size_t kReplaysOfAToken = 2;

state::Charge ChargeOf(const char* limit, std::uint64_t burst, const std::string& caller) {
  const config::Limit rate{.name = limit, .tokens = 10, .per = std::chrono::seconds(1), .burst = burst};
  return {state::KeyOf({limit, caller}), state::Rate(rate), std::string("caller/") + limit};
}

std::optional<Failure> Take(state::LimitTable& buckets, const state::Charge& charge, state::TimePoint now) {
  buckets.MakeRoom(now);
  const state::TimePoint full_at = buckets.FullAt(charge.key);
  if (full_at == state::TimePoint() && !buckets.HasRoom()) {
    return state::RateLimited({}, {{charge.subject, now + std::chrono::seconds(1)}}, now);
  }
  if (!charge.rate.Allows(full_at, now)) {
    return state::RateLimited({}, {{charge.subject, charge.rate.Earliest(full_at, now)}}, now);
  }
  buckets.Spend(charge, now);
  return std::nullopt;
}

}  // namespace

std::optional<Failure> CallerBuckets::TakeCheck(const std::string& caller, state::TimePoint now) {
  return Take(checks_, ChargeOf("checks", 200, caller), now);
}

// First of those that come back by themselves.
std::optional<Failure> CallerBuckets::TakeReplay(const std::string& caller, state::TimePoint now) {
  std::optional<Failure> refusal = Take(replays_, ChargeOf("replays", 10, caller), now);
  if (!refusal) return std::nullopt;
  for (auto* earned : {&earned_, &earned_before_}) {
    const auto left = earned->find(caller);
    if (left == earned->end()) continue;
    if (--left->second == 0) earned->erase(left);
    return std::nullopt;
  }
  return refusal;
}

void CallerBuckets::AddReplays(const std::string& caller) {
  std::size_t left = 0;
  if (const auto before = earned_before_.find(caller); before != earned_before_.end()) {
    left = before->second;
    earned_before_.erase(before);
  }
  if (earned_.size() >= kMaxCallers / 2) earned_before_ = std::exchange(earned_, {});
  std::size_t& earned = earned_[caller];
  earned = std::min(earned + left + kReplaysOfAToken, kMaxEarned);
}

}  // namespace tokend::issue
