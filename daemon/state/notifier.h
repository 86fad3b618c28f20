#pragma once

#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "daemon/state/state.h"

namespace tokend::state {

// A call of State::Admit that waits.
struct AdmitCall {
  const void* waiter;
  Admission admission;
  State::AdmitDone done;

  // False of a call of State::Spend in the same form: it has no request_id here, as its claim stays as it is.
  bool claims() const { return !admission.request_id.empty(); }
};
using AdmitCalls = std::list<AdmitCall>;

// Notifies waiting calls one after another, each of which may make others leave, or destroy the notifier's
// owner: those are then destroyed without being notified. One thread.
class Notifier {
 public:
  void ForEach(AdmitCalls calls, absl::FunctionRef<void(AdmitCall)> notify) {
    if (calls.empty()) return;
    // Owned here, as the notifier may end meanwhile.
    const auto all = std::make_shared<AdmitCalls>(std::move(calls));
    std::erase_if(running_, [](const auto& running) { return running.expired(); });
    running_.push_back(all);
    while (!all->empty()) {
      AdmitCall next = std::move(all->front());
      all->pop_front();
      notify(std::move(next));
    }
  }

  void Tell(AdmitCalls calls, const AdmitResult& result) {
    ForEach(std::move(calls), [&result](AdmitCall call) { call.done(result); });
  }

  // This waiter is not notified any more.
  void Leave(const void* waiter) {
    for (const auto& running : running_) {
      if (const auto all = running.lock()) {
        all->remove_if([waiter](const AdmitCall& call) { return call.waiter == waiter; });
      }
    }
  }

  // Nobody is notified any more.
  void Clear() {
    for (const auto& running : std::exchange(running_, {})) {
      // A `done` that is destroyed may call Leave: it finds an empty list.
      if (const auto all = running.lock()) AdmitCalls().swap(*all);
    }
  }

 private:
  std::vector<std::weak_ptr<AdmitCalls>> running_;
};

}  // namespace tokend::state
