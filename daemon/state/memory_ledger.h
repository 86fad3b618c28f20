#pragma once

#include <list>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/request_ledger.h"

namespace tokend::state {

// The ledger of one replica, in its memory: at most `requests.max_entries` request_ids, and never one of them
// forgotten early.
class MemoryRequestLedger final : public RequestLedger {
 public:
  // `loop` outlives this.
  MemoryRequestLedger(loop::EventLoop& loop, const config::Requests& options);
  ~MemoryRequestLedger() override;

  void ClaimRequest(const std::string& request_id, const RequestDigest& digest, const void* joiner,
                    ClaimDone done) override;
  void Leave(const std::string& request_id, const void* joiner) override;
  void Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) override;
  void Refuse(const std::string& request_id, const Failure& failure) override;
  void Amend(const std::string& request_id, std::optional<Answered> answered, TimePoint intended_at) override;
  void Abandon(const std::string& request_id) override;
  void Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
               TimePoint intended_at) override;

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

  void Keep(const std::string& request_id, Entry& entry, Outcome outcome, TimePoint intended_at);
  void ForgetExpired();
  void ArmExpiry();

  loop::EventLoop& loop_;
  const config::Requests options_;
  absl::flat_hash_map<std::string, Entry> entries_;
  std::set<std::pair<TimePoint, std::string>> expiries_;
  std::optional<loop::TimerId> timer_;
};

}  // namespace tokend::state
