#include "daemon/app/readiness.h"

#include <utility>

namespace tokend::app {

Readiness::Readiness(loop::EventLoop& loop, std::function<bool()> log_is_writable,
                     std::function<void(bool)> tell)
    : state_(new State{.loop = loop,
                       .log_is_writable = std::move(log_is_writable),
                       .tell = std::move(tell),
                       .mutex = {}}) {
  loop.Post([state = state_] { Look(state); });
}

Readiness::~Readiness() {
  const std::lock_guard lock(state_->mutex);
  state_->ended = true;
}

void Readiness::SetServing(bool serving) {
  const std::lock_guard lock(state_->mutex);
  state_->serving = serving;
  Tell(*state_);
}

void Readiness::Tell(State& state) {
  const bool ready = state.serving && state.log_is_writable();
  if (std::exchange(state.told, ready) != ready) state.tell(ready);
}

void Readiness::Look(const std::shared_ptr<State>& state) {
  {
    const std::lock_guard lock(state->mutex);
    if (state->ended) return;
    Tell(*state);
  }
  state->loop.After(kLook, [state] { Look(state); });
}

}  // namespace tokend::app
