#pragma once

#include <algorithm>
#include <cassert>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace tokend::state {

// How many callers a queue keeps tags of.
inline constexpr std::size_t kMaxQueuedCallers = 65536;

// The calls that wait for one resource, served in fair shares: start-time fair queueing (Goyal, Vin, Cheng,
// SIGCOMM 1996), where every call costs one. A call's tag is one higher than that of its caller's call before
// it, but never lower than the tag that is being served. The lowest tag is served next; of equal tags, the
// earlier call. So what a caller has had while the queue was not empty counts against it until the others
// have had as much. See adr/0004. One thread.
template <class Waiting>
class FairQueue {
 public:
  // Names a call in the queue, which may move forward.
  enum class Place : std::uint64_t {};

  bool empty() const { return waiting_.empty(); }
  std::size_t size() const { return waiting_.size(); }

  // How many calls would be served before one of this caller that came now.
  std::size_t Ahead(const std::string& caller) const {
    const auto behind = waiting_.lower_bound(Turn{TagOf(caller), arrivals_});
    return static_cast<std::size_t>(std::distance(waiting_.begin(), behind));
  }
  // How many calls will be served before the one in this place.
  std::size_t Ahead(Place place) const {
    return static_cast<std::size_t>(std::distance(waiting_.begin(), Find(place)));
  }

  Place Push(std::string caller, Waiting waiting) {
    const std::uint64_t tag = TagOf(caller);
    callers_[caller] = tag + 1;
    const Turn turn{tag, arrivals_++};
    waiting_.emplace(turn, Entry{std::move(caller), std::move(waiting)});
    return Place{turn.arrival};
  }

  // The call that is served next. The queue is not empty.
  Waiting& front() {
    assert(!empty());
    return waiting_.begin()->second.waiting;
  }

  // Takes out the first call, which is served. The queue is not empty.
  Waiting PopFront() {
    assert(!empty());
    const auto first = waiting_.begin();
    served_ = std::max(served_, first->first.tag);
    Waiting waiting = std::move(first->second.waiting);
    waiting_.erase(first);
    ForgetEven();
    return waiting;
  }

  // Takes out a call that is not served: it does not count against its caller.
  Waiting Remove(Place place) { return Take(Find(place)); }

  // The caller with the most calls; of several, that of the newest call. If a caller comes, its call counts,
  // and nothing is returned where it has as many as any other.
  std::optional<std::string> CallerOfMost(const std::string* comes) const {
    absl::flat_hash_map<std::string_view, std::size_t> calls;
    std::size_t most = 0;
    if (comes != nullptr) most = calls[*comes] = 1;
    for (const auto& [turn, entry] : waiting_) most = std::max(most, ++calls[entry.caller]);
    if (comes != nullptr && calls[*comes] == most) return std::nullopt;
    const auto newest = std::find_if(waiting_.rbegin(), waiting_.rend(),
                                     [&](const auto& one) { return calls[one.second.caller] == most; });
    return newest == waiting_.rend() ? std::nullopt : std::optional(newest->second.caller);
  }
  // Takes out the newest call of a caller that waits, which does not count against it.
  Waiting PopNewestOf(const std::string& caller) {
    const auto newest = std::find_if(waiting_.rbegin(), waiting_.rend(),
                                     [&caller](const auto& one) { return one.second.caller == caller; });
    return Take(std::prev(newest.base()));
  }

 private:
  struct Turn {
    std::uint64_t tag;
    std::uint64_t arrival;
    auto operator<=>(const Turn&) const = default;  // NOLINT(modernize-use-nullptr): not a pointer
  };
  struct Entry {
    std::string caller;
    Waiting waiting;
  };
  using Entries = std::map<Turn, Entry>;

  // A linear search: queues are short.
  typename Entries::const_iterator Find(Place place) const {
    return std::find_if(waiting_.begin(), waiting_.end(),
                        [place](const auto& entry) { return Place{entry.first.arrival} == place; });
  }

  std::uint64_t TagOf(const std::string& caller) const {
    const auto known = callers_.find(caller);
    return known == callers_.end() ? served_ : std::max(known->second, served_);
  }

  Waiting Take(typename Entries::const_iterator at) {
    assert(at != waiting_.end());
    auto left = waiting_.extract(at);
    const std::string& caller = left.mapped().caller;
    // The caller's later calls move up, and so does its next one.
    for (auto next = waiting_.upper_bound(left.key()); next != waiting_.end();) {
      const auto later = next++;
      if (later->second.caller != caller) continue;
      auto moved = waiting_.extract(later);
      assert(moved.key().tag > 0);
      --moved.key().tag;
      waiting_.insert(std::move(moved));
    }
    const auto known = callers_.find(caller);
    if (known != callers_.end()) --known->second;
    ForgetEven();
    return std::move(left.mapped().waiting);
  }

  // Forgets callers that are not ahead of what is served: they stand where a new caller would. If nobody
  // waits, that is all of them.
  void ForgetEven() {
    if (waiting_.empty()) {
      callers_.clear();
      served_ = 0;
    } else if (callers_.size() >= forget_at_) {
      const auto even = [this](const auto& caller) { return caller.second <= served_; };
      absl::erase_if(callers_, even);
      if (callers_.size() >= kMaxQueuedCallers) {
        ++served_;  // more callers than are kept have had their share: all start again
        absl::erase_if(callers_, even);
      }
      forget_at_ = std::min(2 * callers_.size() + kForgetAt, kMaxQueuedCallers);
    }
  }

  static constexpr std::size_t kForgetAt = 1024;

  Entries waiting_;
  absl::flat_hash_map<std::string, std::uint64_t> callers_;  // each with the tag of its next call
  std::uint64_t served_ = 0;                                 // the highest tag that was served
  std::uint64_t arrivals_ = 0;
  std::size_t forget_at_ = kForgetAt;
};

}  // namespace tokend::state
