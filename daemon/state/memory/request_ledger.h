#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/expiries.h"
#include "daemon/state/notifier.h"
#include "daemon/state/state.h"

namespace tokend::state {

// The request_ids of a single replica, in its memory: at most `requests.max_entries`, and none is forgotten
// early to make room. Loop thread only.
class RequestLedger {
 public:
  using ClaimDone = absl::AnyInvocable<void(AdmitResult)>;
  // Hears how many request_ids are known, at each change.
  using OnEntries = std::function<void(std::size_t)>;

  // `loop` outlives this.
  RequestLedger(loop::EventLoop& loop, const config::Requests& options, OnEntries on_entries = {});
  ~RequestLedger() { Clear(); }
  RequestLedger(const RequestLedger&) = delete;
  RequestLedger& operator=(const RequestLedger&) = delete;

  // Forgets everything, and destroys all waiting calls uncalled.
  void Clear();

  // Claims a request_id. Calls `done` exactly once: at once, or, if a call with the same request_id and
  // digest runs, when that call ends, unless the waiter leaves first. `waiter` identifies the call, and is
  // not dereferenced.
  void ClaimRequest(const std::string& request_id, const RequestDigest& digest, const void* waiter,
                    ClaimDone done);

  // A call that joined another stops waiting: its `done` is destroyed uncalled.
  void Leave(const std::string& request_id, const void* waiter);

  // As in State.
  void Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at);
  void Refuse(const std::string& request_id, const Failure& failure);
  void Amend(const std::string& request_id, std::optional<Answered> answered, TimePoint intended_at);
  void Abandon(const std::string& request_id);
  void Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
               TimePoint intended_at);

  std::size_t size() const { return entries_.size(); }

 private:
  struct Joined {
    const void* waiter;
    ClaimDone done;
  };
  struct Entry {
    RequestDigest digest;
    std::optional<Outcome> outcome;  // absent while the call runs
    TimePoint expires_at;            // of the outcome
    std::list<Joined> joined;        // calls that wait for the outcome, in the order of arrival
  };

  // Any of these calls may make others leave, or destroy this.
  void Tell(std::list<Joined> joined, const AdmitResult& result);

  void Keep(const std::string& request_id, Entry& entry, Outcome outcome, TimePoint intended_at);
  void ReportEntries() const;

  loop::EventLoop& loop_;
  const config::Requests options_;
  const OnEntries on_entries_;
  absl::flat_hash_map<std::string, Entry> entries_;
  Expiries expiries_;
  Notifier<Joined> notifier_;
};

}  // namespace tokend::state
