#include "daemon/telemetry/recent_activity.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace tokend::telemetry {
namespace {

using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;

constexpr double kShortestMs = 0.1;
constexpr double kBucketsOfTen = 10;

// The longest latency that a bucket counts.
microseconds EndOf(std::size_t bucket) {
  const double ms = kShortestMs * std::pow(10, static_cast<double>(bucket) / kBucketsOfTen);
  return std::chrono::round<microseconds>(std::chrono::duration<double, std::milli>(ms));
}

}  // namespace

std::size_t RecentActivity::BucketOf(nanoseconds duration) {
  const double ms = std::chrono::duration<double, std::milli>(duration).count();
  if (ms <= kShortestMs) return 0;
  const double bucket = std::ceil(std::log10(ms / kShortestMs) * kBucketsOfTen);
  return std::min(static_cast<std::size_t>(bucket), kLatencyBuckets - 1);
}

std::optional<Minute::Latency> RecentActivity::LatencyOf(const Slot& slot) {
  std::uint64_t count = 0;
  for (const std::uint32_t calls : slot.latencies) count += calls;
  if (count == 0) return std::nullopt;
  // The latency that this many percent of the calls did not exceed.
  const auto within = [&slot, count](std::uint64_t hundredths) {
    std::uint64_t left = (count * hundredths + 99) / 100;
    for (std::size_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
      if (left <= slot.latencies[bucket]) return std::min(EndOf(bucket), slot.longest);
      left -= slot.latencies[bucket];
    }
    return slot.longest;
  };
  return Minute::Latency{within(50), within(99), slot.longest};
}

void RecentActivity::CallEnded(const EndedCall& call, WallTime now) {
  const std::lock_guard lock(mutex_);
  Slot& slot = SlotAt(now);
  switch (call.end) {
    case CallEnd::kServed:
      ++slot.minute.served;
      break;
    case CallEnd::kRefused:
      ++slot.minute.refused;
      break;
    case CallEnd::kFailed:
      ++slot.minute.failed;
      break;
    case CallEnd::kCancelled:
      ++slot.minute.cancelled;
      break;
  }
  if (call.duration) {
    ++slot.latencies[BucketOf(*call.duration)];
    slot.longest = std::max(slot.longest, std::chrono::ceil<microseconds>(*call.duration));
  }
  CountCaller(call, now);
  if (call.end == CallEnd::kRefused || call.end == CallEnd::kFailed) AddRefusal(call, now);
}

// The slot of this minute. If the slot still holds another minute, it is emptied first. That minute may also
// be a later one, if the clock was set back.
RecentActivity::Slot& RecentActivity::SlotAt(WallTime now) {
  const auto begin = std::chrono::floor<minutes>(now);
  const auto number = static_cast<std::size_t>(begin.time_since_epoch().count());
  Slot& slot = slots_[number % kMinutes];
  if (slot.minute.begin != begin) {
    slot = Slot();
    slot.minute.begin = begin;
  }
  return slot;
}

void RecentActivity::CountCaller(const EndedCall& call, WallTime now) {
  if (now - period_since_ >= kCallerPeriod || now < period_since_) {
    callers_since_ = period_since_;
    period_since_ = now;
    period_ = 1 - period_;
    callers_[period_].Clear();
  }
  if (call.caller.empty()) return;
  callers_[period_].Add(call.caller, call.end == CallEnd::kRefused || call.end == CallEnd::kFailed);
}

void RecentActivity::AddRefusal(const EndedCall& call, WallTime now) {
  auto found = std::ranges::find_if(refusals_, [&call](const auto& refused) { return refused.IsOf(call); });
  RefusedCalls refused;
  if (found != refusals_.end()) {
    refused = std::move(*found);
    refusals_.erase(found);
    if (refused.peer != call.peer) refused.peer.clear();
  } else {
    refused = {std::string(call.listener), std::string(call.caller), std::string(call.peer),
               std::string(call.reason),   std::string(call.detail), now};
  }
  refused.last = now;
  ++refused.count;
  refusals_.push_front(std::move(refused));
  if (refusals_.size() > kMaxRefusals) refusals_.pop_back();
}

void RecentActivity::TokenUnaccounted(UnaccountedToken token, WallTime now) {
  const std::lock_guard lock(mutex_);
  ++unaccounted_count_;
  unaccounted_.push_front({std::move(token), now});
  if (unaccounted_.size() > kMaxUnaccounted) unaccounted_.pop_back();
}

void RecentActivity::BlockChanged(const std::string& organization, Block block, bool blocked,
                                  const std::string& cause, WallTime now) {
  const std::lock_guard lock(mutex_);
  if (!blocks_.contains(organization) && (!blocked || blocks_.size() >= kMaxOrganizations)) return;
  std::vector<PastBlock>& blocks = blocks_[organization];
  const auto found = std::ranges::find(blocks, block, &PastBlock::block);
  if (blocked) {
    if (found != blocks.end()) blocks.erase(found);
    blocks.insert(blocks.begin(), {block, now, std::nullopt, cause});
  } else if (found != blocks.end() && !found->ended) {
    found->ended = now;
  }
}

void RecentActivity::CentreReached(bool reachable, std::string_view cause, WallTime now) {
  const std::lock_guard lock(mutex_);
  if (!centre_) centre_ = Reach{reachable, "", now};
  if (std::exchange(centre_->reachable, reachable) != reachable) centre_->since = now;
  if (!cause.empty()) centre_->cause = cause;
}

RecentActivity::Report RecentActivity::Get(WallTime now) const {
  Report report;
  const std::lock_guard lock(mutex_);
  const auto latest = std::chrono::floor<minutes>(now);
  for (const Slot& slot : slots_) {
    if (slot.minute.begin > latest || slot.minute.begin <= latest - minutes(kMinutes)) continue;
    report.minutes.push_back(slot.minute);
    report.minutes.back().latency = LatencyOf(slot);
  }
  std::ranges::sort(report.minutes, {}, &Minute::begin);
  AddBusyCallers(report);
  report.refusals.assign(refusals_.begin(), refusals_.end());
  report.unaccounted_count = unaccounted_count_;
  report.unaccounted.assign(unaccounted_.begin(), unaccounted_.end());
  report.blocks = blocks_;
  report.centre = centre_;
  return report;
}

void RecentActivity::AddBusyCallers(Report& report) const {
  std::map<std::string_view, CallCounts> sums;
  for (const FrequentNames& period : callers_) {
    report.callers_missed += period.missed();
    for (const auto& [name, counts] : period.counts()) {
      CallCounts& sum = sums[name];
      sum.calls += counts.calls;
      sum.refused += counts.refused;
    }
  }
  std::vector<std::pair<std::string_view, CallCounts>> busiest(sums.begin(), sums.end());
  const auto shown = static_cast<std::ptrdiff_t>(std::min(busiest.size(), kMaxBusyCallers));
  std::ranges::partial_sort(busiest, busiest.begin() + shown, [](const auto& a, const auto& b) {
    return a.second.calls != b.second.calls ? a.second.calls > b.second.calls : a.first < b.first;
  });
  busiest.resize(static_cast<std::size_t>(shown));
  for (const auto& [name, counts] : busiest) report.callers.push_back({std::string(name), counts});
  report.callers_since = callers_since_;
}

}  // namespace tokend::telemetry
