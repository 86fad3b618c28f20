#pragma once

#include <cassert>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "daemon/base/shares.h"

namespace tokend::issue {

// How many requests may be between intent and answer at once (`upstream.applivery.max_in_flight`). The slots
// are shared by organization, and those of an organization by caller. A call without a slot waits:
// organizations take turns, and within an organization its callers. As many calls wait as the number of calls
// in flight allows. Loop thread only.
class UpstreamSlots {
 public:
  using OnTurn = absl::AnyInvocable<void()>;

  struct Holder {
    std::string organization;
    std::string caller;
  };

  // Of the configuration that is in force.
  struct Policies {
    Shares::Policy organizations = Shares::Policy::kShared;
    Shares::Policy callers = Shares::Policy::kShared;
  };

  // A slot, or a place in the queue for one. Dropping it frees the slot, or leaves the queue. Dropped before
  // the UpstreamSlots.
  class Slot {
   public:
    Slot() = default;

    // Whether it is a slot already.
    bool held() const { return turn_ != nullptr && turn_->held; }

    void Drop() { turn_.reset(); }

   private:
    friend class UpstreamSlots;
    struct Turn;
    struct Waiting {
      Turn* turn;
      OnTurn on_turn;
    };
    struct Turn {
      Holder holder;
      bool held = false;
      std::list<Waiting>::iterator place = {};  // while it is not held
    };
    struct Freer {
      UpstreamSlots* slots;
      void operator()(Turn* turn) const {
        const std::unique_ptr<Turn> dropped(turn);
        if (turn->held) {
          slots->Free(turn->holder);
        } else {
          slots->Leave(*turn);
        }
      }
    };
    Slot(UpstreamSlots& slots, Holder holder) : turn_(new Turn{std::move(holder)}, Freer{&slots}) {}
    std::unique_ptr<Turn, Freer> turn_;
  };

  explicit UpstreamSlots(std::size_t slots) : slots_(slots) {}

  // A slot that is held already, and then `on_turn` is not called; or a place in the queue, and then
  // `on_turn` is called when the slot is held.
  Slot Acquire(const Holder& holder, const Policies& policies, OnTurn on_turn) {
    Organization& organization = Prepare(holder.organization, policies);
    Slot slot(*this, holder);
    Slot::Turn& turn = *slot.turn_;
    if (!serving_ && HasPlaceFor(holder, organization)) {
      Take(holder, organization);
      turn.held = true;
    } else {
      Queue& queue = organization.waiting[holder.caller];
      turn.place = queue.insert(queue.end(), {&turn, std::move(on_turn)});
    }
    return slot;
  }

 private:
  using Queue = std::list<Slot::Waiting>;
  using Queues = std::map<std::string, Queue>;

  // One that has slots or waits for them.
  struct Organization {
    Shares callers;       // of the slots that it may have
    Queues waiting = {};  // by caller; none is empty
    std::string last_served = {};
  };
  using Organizations = std::map<std::string, Organization>;

  Organization& Prepare(const std::string& name, const Policies& policies) {
    slots_.Resize(slots_.places(), policies.organizations);
    const std::size_t most = slots_.MostOfOne();
    Organization& organization = organizations_.try_emplace(name, Organization{Shares(most)}).first->second;
    organization.callers.Resize(most, policies.callers);
    return organization;
  }

  bool HasPlaceFor(const Holder& holder, const Organization& organization) const {
    return slots_.HasPlaceFor(holder.organization) && organization.callers.HasPlaceFor(holder.caller);
  }

  void Take(const Holder& holder, Organization& organization) {
    slots_.TakeAnyway(holder.organization);
    organization.callers.TakeAnyway(holder.caller);
  }

  void Free(const Holder& holder) {
    slots_.GiveBack(holder.organization);
    const auto organization = organizations_.find(holder.organization);
    assert(organization != organizations_.end());
    organization->second.callers.GiveBack(holder.caller);
    ForgetIfIdle(organization);
    Serve();
  }

  void Leave(const Slot::Turn& turn) {
    const auto organization = organizations_.find(turn.holder.organization);
    assert(organization != organizations_.end());
    const auto queue = organization->second.waiting.find(turn.holder.caller);
    assert(queue != organization->second.waiting.end());
    queue->second.erase(turn.place);
    if (queue->second.empty()) organization->second.waiting.erase(queue);
    ForgetIfIdle(organization);
  }

  void ForgetIfIdle(Organizations::iterator organization) {
    const bool idle = organization->second.callers.taken() == 0 && organization->second.waiting.empty();
    if (idle) organizations_.erase(organization);
  }

  // Serves those that wait. Called from within itself where `on_turn` drops its slot: then it does not
  // recurse.
  void Serve() {
    if (std::exchange(serving_, true)) return;
    while (std::optional<Slot::Waiting> next = TakeNext()) {
      assert(!next->turn->held);
      next->turn->held = true;
      next->on_turn();
    }
    serving_ = false;
  }

  // Takes a free slot for the waiting call whose turn it is. Returns nothing if no waiting call may have one.
  std::optional<Slot::Waiting> TakeNext() {
    std::optional<Slot::Waiting> next;
    ForEachAfter(organizations_, last_served_, [&](const std::string& name, Organization& organization) {
      return slots_.HasPlaceFor(name) && ForEachAfter(organization.waiting, organization.last_served,
                                                      [&](const std::string& caller, Queue& queue) {
                                                        if (!organization.callers.HasPlaceFor(caller))
                                                          return false;
                                                        next = std::move(queue.front());
                                                        queue.pop_front();
                                                        return true;
                                                      });
    });
    if (!next) return next;
    const Holder& holder = next->turn->holder;
    Organization& organization = organizations_.at(holder.organization);
    Take(holder, organization);
    const auto queue = organization.waiting.find(holder.caller);
    if (queue->second.empty()) organization.waiting.erase(queue);
    last_served_ = holder.organization;
    organization.last_served = holder.caller;
    return next;
  }

  // Begins after `last` and goes round, until `take` has returned true.
  template <class Map, class Take>
  static bool ForEachAfter(Map& map, const std::string& last, const Take& take) {
    auto at = map.upper_bound(last);
    for (std::size_t i = 0; i < map.size(); ++i, ++at) {
      if (at == map.end()) at = map.begin();
      if (take(at->first, at->second)) return true;
    }
    return false;
  }

  Shares slots_;  // by organization
  Organizations organizations_;
  std::string last_served_;
  bool serving_ = false;
};

}  // namespace tokend::issue
