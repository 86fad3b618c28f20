#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "daemon/state/fair_queue.h"

namespace tokend::issue {

// How many requests may be between intent and answer at once (`upstream.applivery.max_in_flight`). Who finds
// none free waits for a fair turn among the callers; no more can wait than calls may be in flight. Loop
// thread only.
class UpstreamSlots {
 public:
  using OnTurn = absl::AnyInvocable<void()>;
  using Place = state::FairQueue<OnTurn>::Place;

  explicit UpstreamSlots(std::size_t slots) : free_(slots) {}

  // Asks for a slot: `on_turn` is called at once, or else has the returned place in the queue.
  std::optional<Place> Acquire(std::string caller, OnTurn on_turn) {
    if (free_ == 0 || !waiting_.empty()) return waiting_.Push(std::move(caller), std::move(on_turn));
    --free_;
    on_turn();
    return std::nullopt;
  }

  // Leaves the queue; `on_turn` is not called.
  void Leave(Place place) { waiting_.Remove(place); }

  // Gives a slot back, to whose turn it is. Who is given it may give it back at once: that is no recursion.
  void Release() {
    ++free_;
    if (std::exchange(serving_, true)) return;
    while (free_ > 0 && !waiting_.empty()) {
      --free_;
      waiting_.PopFront()();
    }
    serving_ = false;
  }

 private:
  std::size_t free_;
  bool serving_ = false;
  state::FairQueue<OnTurn> waiting_;
};

}  // namespace tokend::issue
