#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace tokend::issue {

// How many requests may be between intent and answer at once (`upstream.applivery.max_in_flight`). Who finds
// none free waits, first come, first served; no more can wait than calls may be in flight. Loop thread only.
class UpstreamSlots {
 public:
  enum class Turn { kGranted, kClosed };
  using OnTurn = absl::AnyInvocable<void(Turn)>;
  using Place = std::list<OnTurn>::iterator;

  explicit UpstreamSlots(std::size_t slots) : free_(slots) {}

  // Asks for a slot: `on_turn` is called at once, or else has the returned place in the queue.
  std::optional<Place> Acquire(OnTurn on_turn) {
    if (closed_) {
      on_turn(Turn::kClosed);
    } else if (free_ > 0) {
      --free_;
      on_turn(Turn::kGranted);
    } else {
      return waiting_.insert(waiting_.end(), std::move(on_turn));
    }
    return std::nullopt;
  }

  // Leaves the queue; `on_turn` is not called.
  void Leave(Place place) { waiting_.erase(place); }

  // Gives a slot back, to the first that waits.
  void Release() {
    if (waiting_.empty()) {
      ++free_;
      return;
    }
    OnTurn on_turn = std::move(waiting_.front());
    waiting_.pop_front();
    on_turn(Turn::kGranted);
  }

  // Sends away who waits and who comes from now on.
  void Close() {
    closed_ = true;
    for (OnTurn& on_turn : std::exchange(waiting_, {})) on_turn(Turn::kClosed);
  }

 private:
  std::size_t free_;
  bool closed_ = false;
  std::list<OnTurn> waiting_;
};

}  // namespace tokend::issue
