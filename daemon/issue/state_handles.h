#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "daemon/state/state.h"

// What a request holds in the State, as handles that give it back when they are dropped. The State, the
// request_id and the charges outlive their handles. Loop thread only.
namespace tokend::issue {

// A call that waits in State::Admit or State::Spend. Dropping the handle leaves: the State then does not call
// `done`, and abandons the claim if the call holds one.
class StateWait {
 public:
  StateWait() = default;
  StateWait(state::State& state, const std::string& request_id, const void* waiter)
      : state_(&state, Leave{&request_id, waiter}) {}

  // The State has called `done`.
  void Over() { static_cast<void>(state_.release()); }

 private:
  struct Leave {
    const std::string* request_id;
    const void* waiter;
    void operator()(state::State* state) const { state->Leave(*request_id, waiter); }
  };
  std::unique_ptr<state::State, Leave> state_;
};

// Charges that were spent for one attempt. Dropping the handle gives them back, unless they are kept.
class SpentCharges {
 public:
  SpentCharges(state::State& state, const state::Charges& charges, state::Spent spent)
      : state_(&state, Giver{&charges, spent}) {}

  // An intent may become durable from here on: only GiveBack still gives the charges back.
  void Keep() { state_.get_deleter().keep = true; }

  // No intent became durable, and none will.
  void GiveBack() {
    state_.get_deleter().keep = false;
    state_.reset();
  }

 private:
  struct Giver {
    const state::Charges* charges;
    state::Spent spent;
    bool keep = false;
    void operator()(state::State* state) const {
      if (!keep) state->GiveBack(*charges, spent);
    }
  };
  std::unique_ptr<state::State, Giver> state_;
};

// The claim of this request on its request_id: the first claim or, at a relay, one to ask again. Before Keep
// and after MayAbandon this request has sent nothing: dropping the handle abandons the claim, and a call that
// joined takes it over. Between Keep and MayAbandon something may have been sent: the claim stays until it is
// settled or refused, and dropping the handle leaves it as it is.
class ClaimHandle {
 public:
  ClaimHandle() = default;
  // `first`: the request_id's first intent, where this request asks again.
  ClaimHandle(state::State& state, const std::string& request_id, std::optional<state::Intent> first = {})
      : state_(&state), request_id_(&request_id), stage_(Stage::kHeld), first_(first) {}
  ClaimHandle(ClaimHandle&& other) noexcept { Swap(other); }
  ClaimHandle& operator=(ClaimHandle other) noexcept {
    Swap(other);
    return *this;
  }
  ~ClaimHandle() {
    if (stage_ == Stage::kHeld) state_->Abandon(*request_id_);
  }

  // An intent of this time is handed to the audit log next.
  void Keep(state::TimePoint intended_at) {
    assert(stage_ == Stage::kHeld);
    stage_ = Stage::kKept;
    intent_ = first_.value_or(intended_at);
  }

  // What was intended was not sent, or created nothing.
  void MayAbandon() {
    assert(stage_ == Stage::kKept);
    stage_ = Stage::kHeld;
  }

  // A token was created. Amends what SettleAsUnknown has said.
  void Settle(state::Answered answered) {
    assert(stage_ == Stage::kKept || stage_ == Stage::kUnknown);
    if (std::exchange(stage_, Stage::kNone) == Stage::kUnknown) {
      state_->Amend(*request_id_, std::move(answered), intent_);
    } else {
      state_->Settle(*request_id_, std::move(answered), intent_);
    }
  }

  // A token may have been created. Only the first call counts. `intent`: the sequence number of this
  // request's token.intended.
  void SettleAsUnknown(const Failure& failure, std::uint64_t intent) {
    assert(stage_ == Stage::kKept || stage_ == Stage::kUnknown);
    if (std::exchange(stage_, Stage::kUnknown) == Stage::kKept) {
      if (!first_) intent_.sequence = intent;
      state_->Settle(*request_id_, failure, intent_);
    }
  }
  bool is_unknown() const { return stage_ == Stage::kUnknown; }

  // Neither settled nor refused yet.
  bool is_open() const { return stage_ == Stage::kHeld || stage_ == Stage::kKept; }

  // No token was created. Amends what SettleAsUnknown has said. Does nothing where no claim is held.
  void Refuse(const Failure& failure) {
    switch (std::exchange(stage_, Stage::kNone)) {
      case Stage::kHeld:
      case Stage::kKept:
        return state_->Refuse(*request_id_, failure);
      case Stage::kUnknown:
        return state_->Amend(*request_id_, std::nullopt, intent_);
      case Stage::kNone:
        return;
    }
  }

  // The State holds the claim for the call from here on, which waits in State::Spend.
  void HandToState() {
    assert(stage_ == Stage::kHeld);
    stage_ = Stage::kNone;
  }

 private:
  enum class Stage { kNone, kHeld, kKept, kUnknown };

  void Swap(ClaimHandle& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(request_id_, other.request_id_);
    std::swap(stage_, other.stage_);
    std::swap(first_, other.first_);
    std::swap(intent_, other.intent_);
  }

  state::State* state_ = nullptr;
  const std::string* request_id_ = nullptr;
  Stage stage_ = Stage::kNone;
  std::optional<state::Intent> first_;
  state::Intent intent_;  // the request_id's first one
};

}  // namespace tokend::issue
