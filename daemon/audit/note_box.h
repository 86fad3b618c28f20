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

// Holds records that no call waits for, for a moment, so that alike ones (event, caller, listener, reason,
// target) become one record with a count and a flood of refusals cannot fill the disk. One thread at a time.
//
// None goes uncounted: past kMaxNotes records they are alike whatever their target, past twice that whoever
// called, and of such there are only as many as events and reasons. What was left out is absent.
class NoteBox {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::size_t kMaxNotes = 1024;

  explicit NoteBox(std::chrono::nanoseconds window) : window_(window) {}

  void Add(v1::Record record, Time now);

  // When the oldest record has waited for the whole window; nothing if there is none.
  std::optional<Time> due() const;

  // Those that are due, or all of them, oldest first.
  std::vector<v1::Record> TakeDue(Time now);
  std::vector<v1::Record> TakeAll() { return TakeDue(Time::max()); }

 private:
  struct Note {
    std::string key;
    v1::Record record;
    std::uint64_t count = 1;
    Time due;
  };

  std::chrono::nanoseconds window_;
  std::deque<Note> notes_;  // oldest first
  std::unordered_map<std::string, std::uint64_t>
      index_;                // by key: a note's place, counted from the first ever
  std::uint64_t taken_ = 0;  // notes that have left
};

}  // namespace tokend::audit
