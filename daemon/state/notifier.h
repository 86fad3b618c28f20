#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"

namespace tokend::state {

// Notifies waiting calls one after another, each of which may make others leave, or destroy the notifier's
// owner: those are then destroyed without being notified. `Waiting` has a member `waiter`. One thread.
template <class Waiting>
class Notifier {
 public:
  void ForEach(std::list<Waiting> waiting, absl::FunctionRef<void(Waiting)> notify) {
    if (waiting.empty()) return;
    // Owned here, as the notifier may end meanwhile.
    const auto all = std::make_shared<std::list<Waiting>>(std::move(waiting));
    std::erase_if(running_, [](const auto& running) { return running.expired(); });
    running_.push_back(all);
    while (!all->empty()) {
      Waiting next = std::move(all->front());
      all->pop_front();
      notify(std::move(next));
    }
  }

  // This waiter is not notified any more.
  void Leave(const void* waiter) {
    for (const auto& running : running_) {
      if (const auto all = running.lock()) {
        all->remove_if([waiter](const Waiting& waiting) { return waiting.waiter == waiter; });
      }
    }
  }

  // Nobody is notified any more.
  void Clear() {
    for (const auto& running : std::exchange(running_, {})) {
      const auto all = running.lock();
      // A `done` that is destroyed may call Leave: it finds an empty list.
      if (all != nullptr) std::list<Waiting>().swap(*all);
    }
  }

 private:
  std::vector<std::weak_ptr<std::list<Waiting>>> running_;
};

}  // namespace tokend::state
