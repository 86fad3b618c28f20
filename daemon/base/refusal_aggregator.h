#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace tokend {

// Whose allowance of distinct reports a refused call uses.
enum class Allowance {
  kOwn,     // its caller's own; where the caller is unknown, the one of all unknown callers of its listener
  kShared,  // the one of all callers that no grant names
};

// Holds the reports of refused calls for a moment, so that a flood of refusals cannot fill a disk or push
// older lines out of a log. One thread at a time.
// - Alike reports become one report with a count.
// - Distinct reports are bounded: each account may have kBurst at once, and one more each kInterval.
// - Reports over this allowance become one report for each account and cause, without further details.
// Every report is counted, in bounded memory: while kMaxReports are held, every further one is over the
// allowance, and while kMaxAccounts use their allowances, all further accounts share one.
//
// A Report has these members:
//   std::string Key() const      equal for alike reports
//   std::string Account() const  whose allowance it uses
//   std::string Cause() const    what the report keeps where it is over the allowance, besides the caller
//   void Reduce()                leaves out all but the caller and the cause
//   void KeepCommon(const Report& other)  leaves out what two reports with one key, or two reduced reports of
//                                         one account, do not have in common
template <class Report>
class RefusalAggregator {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::size_t kMaxReports = 4096;
  static constexpr std::size_t kMaxAccounts = 4096;
  static constexpr int kBurst = 20;
  static constexpr std::chrono::milliseconds kInterval{500};

  struct Counted {
    Report report;
    std::uint64_t count;
  };

  // A report is held for `window` after its first refusal.
  explicit RefusalAggregator(std::chrono::nanoseconds window) : window_(window) {}

  void Add(Report report, Time now) {
    std::string key = "alike:" + report.Key();
    if (Join(key, report)) return;
    const std::string account = AccountFor(report, now);
    if (groups_.size() < kMaxReports && Spend(account, now)) {
      return Hold(std::move(key), std::move(report), now);
    }
    key = "over:" + std::to_string(account.size()) + ":" + account + report.Cause();
    report.Reduce();
    if (!Join(key, report)) Hold(std::move(key), std::move(report), now);
  }

  // When the next report is due, or nothing while none is held.
  std::optional<Time> due() const {
    if (groups_.empty()) return std::nullopt;
    return groups_.front().due;
  }

  // Gives back the reports that are due, or all of them, oldest first.
  std::vector<Counted> TakeDue(Time now) {
    std::vector<Counted> due;
    while (!groups_.empty() && groups_.front().due <= now) {
      Group& group = groups_.front();
      due.push_back(std::move(group.counted));
      index_.erase(group.key);
      groups_.pop_front();
      ++taken_;
    }
    return due;
  }
  std::vector<Counted> TakeAll() { return TakeDue(Time::max()); }

 private:
  struct Group {
    std::string key;
    Counted counted;
    Time due;
  };

  bool Join(const std::string& key, const Report& report) {
    const auto found = index_.find(key);
    if (found == index_.end()) return false;
    Counted& counted = groups_[found->second - taken_].counted;
    counted.report.KeepCommon(report);
    ++counted.count;
    return true;
  }

  void Hold(std::string key, Report report, Time now) {
    index_.emplace(key, taken_ + groups_.size());
    groups_.push_back({std::move(key), {std::move(report), 1}, now + window_});
  }

  // The account of the report, or the one that all share for which there is no room.
  std::string AccountFor(const Report& report, Time now) {
    std::string account = report.Account();
    if (full_at_.size() < kMaxAccounts || full_at_.contains(account)) return account;
    if (looked_at_ + kInterval <= now) {
      looked_at_ = now;
      absl::erase_if(full_at_, [now](const auto& one) { return one.second <= now; });
    }
    return full_at_.size() < kMaxAccounts ? account : std::string();
  }

  // Whether the account may have one more distinct report.
  bool Spend(const std::string& account, Time now) {
    Time& full_at = full_at_.try_emplace(account, now).first->second;
    if (full_at > now + (kBurst - 1) * kInterval) return false;
    full_at = std::max(full_at, now) + kInterval;
    return true;
  }

  std::chrono::nanoseconds window_;
  std::deque<Group> groups_;  // oldest first
  // A group's place by its key, counted from the first group there ever was.
  absl::flat_hash_map<std::string, std::uint64_t> index_;
  std::uint64_t taken_ = 0;                         // groups that were given back
  absl::flat_hash_map<std::string, Time> full_at_;  // when each account's allowance is whole again
  Time looked_at_{};                                // when accounts were last forgotten
};

}  // namespace tokend
