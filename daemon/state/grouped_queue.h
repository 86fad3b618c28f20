#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "daemon/state/fair_queue.h"

namespace tokend::state {

// The calls that wait for one resource, served in fair shares for groups and, within a group, for its
// callers: start-time fair queueing on both levels (FairQueue, adr/0004). The turns of a group have tags one
// after another, and each turn is for the call that its own queue serves next. So a group's share does not
// grow with the number of its callers. One thread.
template <class Waiting>
class GroupedQueue {
  using Line = FairQueue<Waiting>;

 public:
  // Names a call in the queue, which may move forward.
  struct Place {
    std::string group;
    typename Line::Place in_line;
  };

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  // How many calls would be served before one of this caller that came now.
  std::size_t Ahead(const std::string& group, const std::string& caller) const {
    const auto own = groups_.find(group);
    if (own == groups_.end()) return AheadOf(served_, arrivals_, group);
    const Group& line = own->second;
    const std::size_t before = line.queue.Ahead(caller);
    if (line.queue.empty()) return AheadOf(std::max(line.next, served_), arrivals_, group);
    return before + AheadOf(line.next + before, line.since, group);
  }
  // How many calls will be served before the one in this place.
  std::size_t Ahead(const Place& place) const {
    const Group& line = groups_.at(place.group);
    const std::size_t before = line.queue.Ahead(place.in_line);
    return before + AheadOf(line.next + before, line.since, place.group);
  }

  // Where a caller comes and there is no room, the newest call of whoever has most gives way: of the group
  // with the most calls, that of the caller with the most. The one that comes counts as waiting, and of equal
  // numbers as having the most. This says whether a call in the queue gives way.
  bool WouldDisplaceOne(const std::string& group, const std::string& caller) const {
    const auto most = MostIn(group);
    if (most == groups_.end()) return false;
    return most->second.queue.CallerOfMost(most->first == group ? &caller : nullptr).has_value();
  }
  // Takes out the call that gives way. WouldDisplaceOne is true.
  Waiting PopDisplaced(const std::string& group, const std::string& caller) {
    const auto most = groups_.find(MostIn(group)->first);
    Line& queue = most->second.queue;
    --size_;
    Waiting displaced = queue.PopNewestOf(*queue.CallerOfMost(most->first == group ? &caller : nullptr));
    Forget();
    return displaced;
  }

  Place Push(const std::string& group, std::string caller, Waiting waiting) {
    Group& line = groups_[group];
    if (line.queue.empty()) {
      line.next = std::max(line.next, served_);
      line.since = arrivals_++;
    }
    ++size_;
    return {group, line.queue.Push(std::move(caller), std::move(waiting))};
  }

  // The call that is served next. The queue is not empty.
  Waiting& front() { return First()->second.queue.front(); }

  // Takes out the first call, which is served. The queue is not empty.
  Waiting PopFront() {
    Group& line = First()->second;
    served_ = std::max(served_, line.next++);
    --size_;
    Waiting served = line.queue.PopFront();
    Forget();
    return served;
  }

  // Takes out a call that is not served: it does not count against its group and caller.
  Waiting Remove(const Place& place) {
    --size_;
    Waiting removed = groups_.at(place.group).queue.Remove(place.in_line);
    Forget();
    return removed;
  }

 private:
  struct Group {
    Line queue;
    std::uint64_t next = 0;   // the tag of its next turn
    std::uint64_t since = 0;  // its arrival: of equal tags, that of the group that waits longer comes first
  };
  using Groups = std::map<std::string, Group>;

  // How many calls of other groups come before a turn with this tag of a group that waits since then.
  std::size_t AheadOf(std::uint64_t tag, std::uint64_t since, const std::string& group) const {
    std::size_t ahead = 0;
    for (const auto& [name, other] : groups_) {
      if (name == group) continue;
      const std::uint64_t end = other.since < since ? tag + 1 : tag;  // of the tags that come before
      if (end > other.next) ahead += std::min<std::size_t>(end - other.next, other.queue.size());
    }
    return ahead;
  }

  // The group of the first call. The queue is not empty.
  typename Groups::iterator First() {
    assert(!empty());
    auto first = groups_.end();
    for (auto group = groups_.begin(); group != groups_.end(); ++group) {
      if (group->second.queue.empty()) continue;
      if (first == groups_.end() || std::pair(group->second.next, group->second.since) <
                                        std::pair(first->second.next, first->second.since)) {
        first = group;
      }
    }
    return first;
  }

  // The group with the most calls, where one more call of `group` counts; the end where that call is alone.
  typename Groups::const_iterator MostIn(const std::string& group) const {
    auto most = groups_.find(group);
    std::size_t calls = most == groups_.end() ? 1 : most->second.queue.size() + 1;
    for (auto other = groups_.begin(); other != groups_.end(); ++other) {
      if (other->first == group || other->second.queue.size() <= calls) continue;
      most = other;
      calls = other->second.queue.size();
    }
    return most;
  }

  // Forgets groups that are not ahead of what is served: they stand where a new group would. If nobody waits,
  // that is all of them.
  void Forget() {
    if (empty()) {
      groups_.clear();
      served_ = 0;
    } else {
      std::erase_if(groups_, [this](const auto& group) {
        return group.second.queue.empty() && group.second.next <= served_;
      });
    }
  }

  Groups groups_;
  std::size_t size_ = 0;
  std::uint64_t served_ = 0;  // the highest tag that was served
  std::uint64_t arrivals_ = 0;
};

}  // namespace tokend::state
