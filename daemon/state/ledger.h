#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/state.h"

namespace tokend::state {

// The request_ids that are known. An Entry has the members `std::optional<Outcome> outcome`, absent while the
// call runs, and `TimePoint intended_at`. Once `remember` has passed since the intent, the outcome is
// forgotten with its entry: at most 100 ms late, so that one timer forgets many. Loop thread.
template <class Entry>
class Ledger {
 public:
  using OnForgotten = std::function<void(const std::string& request_id)>;

  // `loop` outlives this. `on_forgotten` does not change the ledger.
  Ledger(loop::EventLoop& loop, std::chrono::milliseconds remember, OnForgotten on_forgotten)
      : loop_(loop), remember_(remember), on_forgotten_(std::move(on_forgotten)) {}
  ~Ledger() {
    if (timer_) loop_.Cancel(*timer_);
  }
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  std::size_t size() const { return entries_.size(); }

  // Null if the request_id is not known. Valid until another one is added.
  Entry* Find(const std::string& request_id) {
    const auto found = entries_.find(request_id);
    return found == entries_.end() ? nullptr : &found->second;
  }

  // Adds a call that runs, in place of what is known of the request_id.
  Entry& Put(const std::string& request_id, Entry entry) {
    Remove(request_id);
    return entries_.emplace(request_id, std::move(entry)).first->second;
  }

  // Sets or replaces the outcome of an entry of this ledger.
  void Settle(const std::string& request_id, Entry& entry, Outcome&& outcome, TimePoint intended_at) {
    if (entry.outcome) intents_.erase({entry.intended_at, request_id});
    entry.outcome = std::move(outcome);
    entry.intended_at = intended_at;
    intents_.emplace(intended_at, request_id);
    Arm();
  }

  // An entry of this ledger had an outcome, and a call with its request_id runs again.
  void Reopen(const std::string& request_id, Entry& entry) {
    intents_.erase({entry.intended_at, request_id});
    entry.outcome.reset();
  }

  void Remove(const std::string& request_id) {
    const auto found = entries_.find(request_id);
    if (found == entries_.end()) return;
    if (found->second.outcome) intents_.erase({found->second.intended_at, request_id});
    entries_.erase(found);
  }

  // Removes all. As a waiting call is destroyed, it finds an empty ledger.
  void Clear() {
    intents_.clear();
    const auto left = std::exchange(entries_, {});
  }

  // Forgets now all whose time has come.
  void ForgetDue() {
    const TimePoint due = loop_.clock().Now() - remember_;
    while (!intents_.empty() && intents_.begin()->first <= due) {
      const std::string request_id = std::move(intents_.extract(intents_.begin()).value().second);
      entries_.erase(request_id);
      if (on_forgotten_) on_forgotten_(request_id);
    }
  }

  // Until the first outcome is forgotten; nothing if there is none.
  std::optional<std::chrono::milliseconds> UntilFirst() const {
    if (intents_.empty()) return std::nullopt;
    return std::chrono::ceil<std::chrono::milliseconds>(First() - loop_.clock().Now());
  }

  // The newest first: the calls that run, and then the outcomes from the last intent on.
  void ForEach(absl::FunctionRef<void(const std::string& request_id, Entry& entry)> use) {
    for (auto& [request_id, entry] : entries_) {
      if (!entry.outcome) use(request_id, entry);
    }
    for (auto intent = intents_.rbegin(); intent != intents_.rend(); ++intent) {
      use(intent->second, entries_.at(intent->second));
    }
  }

 private:
  static constexpr std::chrono::milliseconds kResolution{100};

  TimePoint First() const { return intents_.begin()->first + remember_; }

  void Arm() {
    if (intents_.empty() || (timer_ && timer_for_ <= First())) return;
    if (timer_) loop_.Cancel(*timer_);
    timer_for_ = First();
    const TimePoint now = loop_.clock().Now();
    timer_ = loop_.After(std::max(timer_for_, now) - now + kResolution, [this] {
      timer_.reset();
      ForgetDue();
      Arm();
    });
  }

  loop::EventLoop& loop_;
  const std::chrono::milliseconds remember_;
  const OnForgotten on_forgotten_;
  absl::flat_hash_map<std::string, Entry> entries_;
  std::set<std::pair<TimePoint, std::string>> intents_;  // of the outcomes
  std::optional<loop::TimerId> timer_;
  TimePoint timer_for_{};  // when the first was to be forgotten as the timer was set
};

}  // namespace tokend::state
