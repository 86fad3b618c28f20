#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// Holds the records of refused requests for a moment and makes alike ones (same event, caller, listener,
// reason and target) one record with a count, so that a flood of refusals cannot fill the disk. One thread at
// a time.
//
// Every refusal is counted, in bounded memory. While kMaxRecords records are held, further refusals are
// aggregated without regard to their target; while twice as many are held, also without regard to their
// caller. A record leaves out what its refusals do not have in common.
class RefusalAggregator {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::size_t kMaxRecords = 1024;

  // A record is held for `window` after its first refusal.
  explicit RefusalAggregator(std::chrono::nanoseconds window) : window_(window) {}

  void Add(v1::Record record, Time now);

  // When the next record is due, or nothing while none is held.
  std::optional<Time> due() const;

  // Gives back the records that are due, or all of them, oldest first.
  std::vector<v1::Record> TakeDue(Time now);
  std::vector<v1::Record> TakeAll() { return TakeDue(Time::max()); }

 private:
  struct Group {
    std::string key;
    v1::Record record;
    std::uint64_t count = 1;
    Time due;
  };

  std::chrono::nanoseconds window_;
  std::deque<Group> groups_;  // oldest first
  // A group's place by its key, counted from the first group there ever was.
  std::unordered_map<std::string, std::uint64_t> index_;
  std::uint64_t taken_ = 0;  // groups that were given back
};

}  // namespace tokend::audit
