#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "daemon/base/release_memory.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/state.h"

namespace tokend::state {

// The request_ids that are known. An Entry has the members `outcome`, an optional that is absent while the
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

  std::size_t size() const { return nodes_.size(); }

  // Null if the request_id is not known. Valid until it is removed or forgotten.
  Entry* Find(std::string_view request_id) {
    const auto found = nodes_.find(request_id);
    return found == nodes_.end() ? nullptr : found->get();
  }

  // Adds a call that runs, in place of what is known of the request_id.
  Entry& Put(const std::string& request_id, Entry entry) {
    Remove(request_id);
    return **nodes_.insert(std::make_unique<Node>(request_id, std::move(entry))).first;
  }

  // Sets or replaces the outcome of an entry of this ledger.
  template <class AnOutcome>
  void Settle(Entry& entry, AnOutcome&& outcome, TimePoint intended_at) {
    if (entry.outcome) Unlist(entry);
    entry.outcome = std::forward<AnOutcome>(outcome);
    entry.intended_at = intended_at;
    intents_.emplace_hint(intents_.end(), intended_at, &static_cast<Node&>(entry));  // most are the newest
    Arm();
  }

  // An entry of this ledger had an outcome, and a call with its request_id runs again. Returns the outcome.
  auto Reopen(Entry& entry) {
    Unlist(entry);
    return std::exchange(entry.outcome, {});
  }

  void Remove(std::string_view request_id) {
    const auto found = nodes_.find(request_id);
    if (found == nodes_.end()) return;
    if ((*found)->outcome) Unlist(**found);
    const auto removed = nodes_.extract(found);
  }

  // Removes all. As a waiting call is destroyed, it finds an empty ledger.
  void Clear() {
    intents_.clear();
    const auto left = std::exchange(nodes_, {});
  }

  // Forgets now all whose time has come.
  void ForgetDue() {
    const TimePoint due = loop_.clock().Now() - remember_;
    while (!intents_.empty() && intents_.begin()->first <= due) {
      const auto forgotten = nodes_.extract(nodes_.find(intents_.begin()->second->request_id));
      intents_.erase(intents_.begin());
      ++forgotten_;
      if (on_forgotten_) on_forgotten_(forgotten.value()->request_id);
    }
    if (forgotten_ >= std::max(kMany, size())) ReturnMemory();
  }

  // Until the first outcome is forgotten; nothing if there is none.
  std::optional<std::chrono::milliseconds> UntilFirst() const {
    if (intents_.empty()) return std::nullopt;
    return std::chrono::ceil<std::chrono::milliseconds>(First() - loop_.clock().Now());
  }

  // The newest first: the calls that run, and then the outcomes from the last intent on.
  void ForEach(absl::FunctionRef<void(const std::string& request_id, Entry& entry)> use) {
    for (const std::unique_ptr<Node>& node : nodes_) {
      if (!node->outcome) use(node->request_id, *node);
    }
    for (auto intent = intents_.rbegin(); intent != intents_.rend(); ++intent) {
      use(intent->second->request_id, *intent->second);
    }
  }

 private:
  static constexpr std::chrono::milliseconds kResolution{100};
  static constexpr std::size_t kMany = 256;

  // Each request_id stands in memory once.
  struct Node : Entry {
    Node(std::string its_request_id, Entry entry)
        : Entry(std::move(entry)), request_id(std::move(its_request_id)) {}
    const std::string request_id;
  };

  struct ById {
    using is_transparent = void;
    static std::string_view IdOf(std::string_view request_id) { return request_id; }
    static std::string_view IdOf(const std::unique_ptr<Node>& node) { return node->request_id; }

    // As a hash. Debian's Abseil hashes its own string_view, and not the standard's.
    template <class Key>
    std::size_t operator()(const Key& key) const {
      const std::string_view id = IdOf(key);
      return absl::Hash<absl::string_view>()({id.data(), id.size()});
    }
    // As a comparison.
    template <class Key, class Other>
    bool operator()(const Key& key, const Other& other) const {
      return IdOf(key) == IdOf(other);
    }
  };

  // The allocator would keep the memory of a peak for ever. The time that this takes is shared by many
  // requests.
  void ReturnMemory() {
    forgotten_ = 0;
    nodes_.rehash(0);
    ReturnFreeMemory();
  }

  void Unlist(Entry& entry) { intents_.erase({entry.intended_at, &static_cast<Node&>(entry)}); }

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
  absl::flat_hash_set<std::unique_ptr<Node>, ById, ById> nodes_;
  absl::btree_set<std::pair<TimePoint, Node*>> intents_;  // of the outcomes
  std::size_t forgotten_ = 0;                             // since memory was returned
  std::optional<loop::TimerId> timer_;
  TimePoint timer_for_{};  // when the first was to be forgotten as the timer was set
};

}  // namespace tokend::state
