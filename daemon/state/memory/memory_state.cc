#include "daemon/state/memory/memory_state.h"

#include <optional>
#include <utility>
#include <variant>

namespace tokend::state {

MemoryState::MemoryState(loop::EventLoop& loop, const config::Requests& options, const Observer& observer)
    : ledger_(loop, options, observer.on_entries), limiter_(loop, observer) {}

void MemoryState::Admit(Admission admission, const void* waiter, AdmitDone done) {
  const std::string request_id = admission.request_id;
  const RequestDigest digest = admission.digest;
  ledger_.ClaimRequest(
      request_id, digest, waiter,
      [this, waiter, admission = std::move(admission), done = std::move(done)](AdmitResult result) mutable {
        if (!std::holds_alternative<Fresh>(result)) return done(std::move(result));
        SpendFor(std::move(admission), waiter, std::move(done));
      });
}

void MemoryState::SpendFor(Admission claimed, const void* waiter, AdmitDone done) {
  limiter_.Spend(
      std::move(claimed.charges), claimed.latest, waiter,
      [this, request_id = std::move(claimed.request_id), done = std::move(done)](SpendResult result) mutable {
        if (const Spent* spent = std::get_if<Spent>(&result)) return done(Fresh{*spent});
        const Failure& refusal = std::get<Failure>(result);
        ledger_.Refuse(request_id, refusal);
        done(refusal);
      });
}

void MemoryState::Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) {
  limiter_.Spend(std::move(charges), latest, waiter, std::move(done));
}

void MemoryState::Leave(const std::string& request_id, const void* waiter) {
  if (limiter_.Leave(waiter)) return ledger_.Abandon(request_id);
  ledger_.Leave(request_id, waiter);
}

void MemoryState::GiveBack(const Charges& charges, Spent spent) {
  limiter_.GiveBack(charges, std::get<SpentHere>(spent));
}

void MemoryState::Check(Charges charges, TimePoint latest, CheckDone done) {
  done(limiter_.Refusal(charges, latest));
}

void MemoryState::Levels(std::vector<Charge> charges, LevelsDone done) { done(limiter_.FullAt(charges)); }

void MemoryState::Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) {
  ledger_.Settle(request_id, std::move(outcome), intended_at);
}

void MemoryState::Refuse(const std::string& request_id, const Failure& failure) {
  ledger_.Refuse(request_id, failure);
}

void MemoryState::Amend(const std::string& request_id, std::optional<Answered> answered,
                        TimePoint intended_at) {
  ledger_.Amend(request_id, std::move(answered), intended_at);
}

void MemoryState::Abandon(const std::string& request_id) { ledger_.Abandon(request_id); }

void MemoryState::Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                          TimePoint intended_at) {
  ledger_.Restore(request_id, digest, std::move(outcome), intended_at);
}

}  // namespace tokend::state
