#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace tokend::state {

// Who waits for one resource, in fair shares: start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996),
// where every call costs one. A call is tagged with where its caller stands, one further for each call of
// that caller before it, but never behind what is being served; the lowest tag is served next, the earlier
// call where two are alike. What a caller has had while the queue was not empty counts against it until the
// others have had as much. See adr/0004. One thread.
template <class Waiting>
class FairQueue {
 public:
  // Whose place in the queue; it may move forward.
  enum class Place : std::uint64_t {};

  bool empty() const { return waiting_.empty(); }
  std::size_t size() const { return waiting_.size(); }

  // How many would be served before a call of this caller that came now.
  std::size_t Ahead(const std::string& caller) const {
    const auto behind = waiting_.lower_bound(Turn{TagOf(caller), arrivals_});
    return static_cast<std::size_t>(std::distance(waiting_.begin(), behind));
  }
  // How many will be served before the one in this place.
  std::size_t Ahead(Place place) const {
    return static_cast<std::size_t>(std::distance(waiting_.begin(), Find(waiting_, place)));
  }

  // Whether a call of this caller that came now would not be the last.
  bool WouldPassSome(const std::string& caller) const {
    return !waiting_.empty() && TagOf(caller) < waiting_.rbegin()->first.tag;
  }

  Place Push(std::string caller, Waiting waiting) {
    const std::uint64_t tag = TagOf(caller);
    callers_[caller] = tag + 1;
    const Turn turn{tag, arrivals_++};
    waiting_.emplace(turn, Entry{std::move(caller), std::move(waiting)});
    return Place{turn.arrival};
  }

  // The one that is served next, or last. Not of an empty queue.
  Waiting& front() { return waiting_.begin()->second.waiting; }
  Waiting& back() { return waiting_.rbegin()->second.waiting; }

  // It is served.
  Waiting PopFront() {
    const auto first = waiting_.begin();
    served_ = std::max(served_, first->first.tag);
    Waiting waiting = std::move(first->second.waiting);
    waiting_.erase(first);
    ForgetEven();
    return waiting;
  }

  // It is not served, and does not count against its caller.
  Waiting PopBack() { return Take(std::prev(waiting_.end())); }
  Waiting Remove(Place place) { return Take(Find(waiting_, place)); }

 private:
  struct Turn {
    std::uint64_t tag;
    std::uint64_t arrival;
    bool operator<(const Turn& other) const {
      return std::tie(tag, arrival) < std::tie(other.tag, other.arrival);
    }
  };
  struct Entry {
    std::string caller;
    Waiting waiting;
  };
  using Entries = std::map<Turn, Entry>;

  // Queues are short.
  template <class AnyEntries>
  static auto Find(AnyEntries& entries, Place place) {
    return std::find_if(entries.begin(), entries.end(),
                        [place](const auto& entry) { return Place{entry.first.arrival} == place; });
  }

  std::uint64_t TagOf(const std::string& caller) const {
    const auto known = callers_.find(caller);
    return known == callers_.end() ? served_ : std::max(known->second, served_);
  }

  Waiting Take(typename Entries::iterator at) {
    auto left = waiting_.extract(at);
    const std::string& caller = left.mapped().caller;
    // The caller's later calls move up, and so will its next.
    for (auto next = waiting_.upper_bound(left.key()); next != waiting_.end();) {
      const auto later = next++;
      if (later->second.caller != caller) continue;
      auto moved = waiting_.extract(later);
      --moved.key().tag;
      waiting_.insert(std::move(moved));
    }
    const auto known = callers_.find(caller);
    if (known != callers_.end()) --known->second;
    ForgetEven();
    return std::move(left.mapped().waiting);
  }

  // A caller that is not ahead of what is served is as if it had never come; and where nobody waits there is
  // nothing to share.
  void ForgetEven() {
    if (waiting_.empty()) {
      callers_.clear();
      served_ = 0;
    } else if (callers_.size() >= forget_at_) {
      const auto even = [this](const auto& caller) { return caller.second <= served_; };
      absl::erase_if(callers_, even);
      if (callers_.size() >= kMaxCallers) {
        ++served_;  // so many have had their share: all begin anew
        absl::erase_if(callers_, even);
      }
      forget_at_ = std::min(2 * callers_.size() + kForgetAt, kMaxCallers);
    }
  }

  static constexpr std::size_t kForgetAt = 1024;
  static constexpr std::size_t kMaxCallers = 65536;

  Entries waiting_;
  absl::flat_hash_map<std::string, std::uint64_t> callers_;  // to the tag of their next call
  std::uint64_t served_ = 0;                                 // the highest tag that was served
  std::uint64_t arrivals_ = 0;
  std::size_t forget_at_ = kForgetAt;
};

}  // namespace tokend::state
