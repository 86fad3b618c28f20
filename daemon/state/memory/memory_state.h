#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/memory/request_ledger.h"
#include "daemon/state/rate_limiter.h"
#include "daemon/state/state.h"

namespace tokend::state {

// The state of a single replica, in its memory. Buckets are full at the start.
class MemoryState final : public State {
 public:
  // `loop` outlives this.
  MemoryState(loop::EventLoop& loop, const config::Requests& options, const Observer& observer = {});
  // While both parts are there: as a waiting call's `done` is destroyed, it may call Leave.
  ~MemoryState() override { ledger_.Clear(); }
  MemoryState(const MemoryState&) = delete;
  MemoryState& operator=(const MemoryState&) = delete;

  void Admit(Admission admission, const void* waiter, AdmitDone done) override;
  void Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) override;
  void Leave(const std::string& request_id, const void* waiter) override;
  void GiveBack(const Charges& charges, Spent spent) override;
  void Check(Charges charges, TimePoint latest, CheckDone done) override;
  void Levels(std::vector<Charge> charges, LevelsDone done) override;
  void Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) override;
  void Refuse(const std::string& request_id, const Failure& failure) override;
  void Amend(const std::string& request_id, std::optional<Answered> answered, TimePoint intended_at) override;
  void Abandon(const std::string& request_id) override;
  void Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
               TimePoint intended_at) override;
  Status health() const override { return absl::OkStatus(); }

  // How many request_ids are known.
  std::size_t entries() const { return ledger_.size(); }

 private:
  void SpendFor(Admission claimed, const void* waiter, AdmitDone done);

  RequestLedger ledger_;
  RateLimiter limiter_;
};

}  // namespace tokend::state
