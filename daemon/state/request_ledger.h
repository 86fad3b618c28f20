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
#include "daemon/state/state.h"

namespace tokend::state {

// The request_ids of one replica, in its memory: at most `requests.max_entries`, and never one of them
// forgotten early. Loop thread only.
class RequestLedger {
 public:
  using ClaimDone = absl::AnyInvocable<void(Claim)>;
  // Told how many request_ids are known.
  using OnEntries = std::function<void(std::size_t)>;

  // `loop` outlives this.
  RequestLedger(loop::EventLoop& loop, const config::Requests& options, OnEntries on_entries = {});
  ~RequestLedger();
  RequestLedger(const RequestLedger&) = delete;
  RequestLedger& operator=(const RequestLedger&) = delete;

  // Asks for a request_id. `done` is called exactly once: at once, or, where a call with the same id and
  // digest runs, when that one has ended (it is joined), unless it leaves first. `joiner` tells those that
  // joined apart, and is not looked at.
  void ClaimRequest(const std::string& request_id, const RequestDigest& digest, const void* joiner,
                    ClaimDone done);

  // Who joined no longer waits: its `done` is destroyed uncalled.
  void Leave(const std::string& request_id, const void* joiner);

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
    const void* joiner;
    ClaimDone done;
  };
  struct Entry {
    RequestDigest digest;
    std::optional<Outcome> outcome;  // none: it runs
    TimePoint expires_at;            // of an outcome
    std::list<Joined> joined;        // in the order in which they came
  };

  // One after another: any of them may end others, or this.
  void Tell(std::list<Joined> joined, const Claim& claim);

  void Keep(const std::string& request_id, Entry& entry, Outcome outcome, TimePoint intended_at);
  void TellEntries() const;

  loop::EventLoop& loop_;
  const config::Requests options_;
  const OnEntries on_entries_;
  absl::flat_hash_map<std::string, Entry> entries_;
  Expiries expiries_;
  std::vector<std::weak_ptr<std::list<Joined>>> being_told_;
};

}  // namespace tokend::state
