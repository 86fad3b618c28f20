#pragma once

#include <cassert>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "daemon/state/fair_queue.h"

namespace tokend::issue {

// How many requests may be between intent and answer at once (`upstream.applivery.max_in_flight`). Where no
// slot is free, callers take fair turns in a queue, which is as short as the number of calls in flight
// allows. Loop thread only.
class UpstreamSlots {
 public:
  using OnTurn = absl::AnyInvocable<void()>;

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
    struct Turn {
      bool held = false;
      state::FairQueue<std::pair<Turn*, OnTurn>>::Place place{};  // while it is not held
    };
    struct Freer {
      UpstreamSlots* slots;
      void operator()(Turn* turn) const {
        const std::unique_ptr<Turn> dropped(turn);
        if (turn->held) {
          slots->Free();
        } else {
          slots->waiting_.Remove(turn->place);
        }
      }
    };
    explicit Slot(UpstreamSlots& slots) : turn_(new Turn, Freer{&slots}) {}
    std::unique_ptr<Turn, Freer> turn_;
  };

  explicit UpstreamSlots(std::size_t slots) : free_(slots) {}

  // A slot that is held already, and then `on_turn` is not called; or a place in the queue, and then
  // `on_turn` is called when the slot is held.
  Slot Acquire(std::string caller, OnTurn on_turn) {
    Slot slot(*this);
    Slot::Turn& turn = *slot.turn_;
    if (free_ > 0 && waiting_.empty()) {
      --free_;
      turn.held = true;
    } else {
      turn.place = waiting_.Push(std::move(caller), {&turn, std::move(on_turn)});
    }
    return slot;
  }

 private:
  using Queue = state::FairQueue<std::pair<Slot::Turn*, OnTurn>>;

  // Serves the queue. Called from within itself where `on_turn` drops its slot: then it does not recurse.
  void Free() {
    ++free_;
    if (std::exchange(serving_, true)) return;
    while (free_ > 0 && !waiting_.empty()) {
      --free_;
      auto [turn, on_turn] = waiting_.PopFront();
      assert(!turn->held);
      turn->held = true;
      on_turn();
    }
    serving_ = false;
  }

  std::size_t free_;
  bool serving_ = false;
  Queue waiting_;
};

}  // namespace tokend::issue
