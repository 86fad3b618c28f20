#include "daemon/state/memory/memory_state.h"

#include <utility>
#include <variant>

namespace tokend::state {

MemoryState::MemoryState(loop::EventLoop& loop, const config::Requests& options, const Observer& observer,
                         OnUnknown on_unknown)
    : on_unknown_(on_unknown),
      remember_(options.remember),
      shares_(options.max_entries),
      on_entries_(observer.on_entries),
      ledger_(loop, options.remember, [this](const std::string& id) { OnRemoved(OwnerOf(id)); }),
      quarantine_(loop, "", observer.on_quarantine),
      limiter_(loop, observer) {}

MemoryState::~MemoryState() {
  // While all parts are there: as a waiting call's `done` is destroyed, it may call Leave.
  notifier_.Clear();
  ledger_.Clear();
}

void MemoryState::Admit(Admission admission, const void* waiter, AdmitDone done) {
  ledger_.ForgetDue();
  if (Entry* const known = ledger_.Find(admission.request_id)) {
    if (known->digest.value_or(admission.digest) != admission.digest) return done(RequestIdReused());
    if (known->outcome && MayAskAgain(*known, admission.target)) {
      known->unknown = ledger_.Reopen(*known).TakeFailure();
      known->asked_again = true;
      return SpendFor({waiter, std::move(admission), std::move(done)});
    }
    if (known->outcome) return done(Known{known->first.Unpack(), known->outcome.Get()});
    known->joined.push_back({waiter, std::move(admission), std::move(done)});
    return;
  }
  if (const auto unsure = MayBeForgotten(admission.age)) return done(*unsure);
  if (!HasPlaceFor(admission)) return done(LedgerFull(ledger_.UntilFirst()));
  ledger_.Put(admission.request_id, {.digest = admission.digest, .first = PackedTarget(admission.target)});
  shares_.TakeAnyway(OwnerOf(admission.request_id));
  ReportEntries();
  SpendFor({waiter, std::move(admission), std::move(done)});
}

void MemoryState::SpendFor(AdmitCall claimed) {
  Admission& admission = claimed.admission;
  limiter_.Spend(std::move(admission.charges), admission.latest, claimed.waiter,
                 [this, request_id = std::move(admission.request_id),
                  done = std::move(claimed.done)](SpendResult result) mutable {
                   if (const Spent* spent = std::get_if<Spent>(&result)) {
                     const Entry& entry = *ledger_.Find(request_id);
                     Fresh fresh{*spent};
                     if (entry.unknown) {
                       fresh.earlier = Earlier{entry.first.Unpack(), {entry.intended_at, entry.intent}};
                     }
                     return done(std::move(fresh));
                   }
                   const Failure& refusal = std::get<Failure>(result);
                   Refuse(request_id, refusal);
                   done(refusal);
                 });
}

void MemoryState::Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) {
  limiter_.Spend(std::move(charges), latest, waiter, std::move(done));
}

void MemoryState::Leave(const std::string& request_id, const void* waiter) {
  if (limiter_.Leave(waiter)) return Abandon(request_id);
  if (Entry* const known = ledger_.Find(request_id)) {
    known->joined.remove_if([waiter](const AdmitCall& call) { return call.waiter == waiter; });
  }
  notifier_.Leave(waiter);
}

void MemoryState::GiveBack(const Charges& charges, Spent spent) {
  limiter_.GiveBack(charges, std::get<SpentHere>(spent));
}

void MemoryState::Check(Charges charges, TimePoint latest, CheckDone done) {
  done(limiter_.Refusal(charges, latest));
}

void MemoryState::Levels(std::vector<Charge> charges, LevelsDone done) { done(limiter_.FullAt(charges)); }

void MemoryState::Settle(const std::string& request_id, Outcome outcome, Intent intent) {
  Entry* const known = ledger_.Find(request_id);
  if (known == nullptr) return;
  known->unknown.reset();
  known->intent = intent.sequence;
  AdmitCalls joined = std::move(known->joined);
  const AdmitResult result =
      ResultOfJoined(Known{joined.empty() ? Target() : known->first.Unpack(), outcome});
  ledger_.Settle(*known, std::move(outcome), intent.at);
  ledger_.ForgetDue();
  notifier_.Tell(std::move(joined), result);
}

void MemoryState::Refuse(const std::string& request_id, const Failure& failure) {
  Entry* const known = ledger_.Find(request_id);
  if (known == nullptr) return;
  AdmitCalls joined = std::move(known->joined);
  EndWithoutOutcome(request_id, *known);
  notifier_.Tell(std::move(joined), failure);
}

void MemoryState::Amend(const std::string& request_id, std::optional<Answered> answered, Intent intent) {
  Entry* const known = ledger_.Find(request_id);
  // The request_id may have been claimed again since: only the outcome of this intent is amended.
  if (known == nullptr || !known->outcome || known->intended_at != intent.at) return;
  if (!answered) {
    if (!known->asked_again) Remove(request_id);
    return;
  }
  known->outcome = *std::move(answered);
}

void MemoryState::Abandon(const std::string& request_id) {
  Entry* const known = ledger_.Find(request_id);
  if (known == nullptr) return;
  if (known->joined.empty()) return EndWithoutOutcome(request_id, *known);
  AdmitCall heir = std::move(known->joined.front());
  known->joined.pop_front();
  if (!known->unknown) known->first = PackedTarget(heir.admission.target);
  SpendFor(std::move(heir));
}

void MemoryState::Restore(const std::string& request_id, const std::optional<RequestDigest>& digest,
                          Target target, std::uint64_t ended_by, Intent intent) {
  // Also beyond max_entries: a request_id that is forgotten could be minted twice.
  const std::size_t known = ledger_.size();
  Entry& entry =
      ledger_.Put(request_id, {.digest = digest, .first = PackedTarget(target), .intent = intent.sequence});
  ledger_.Settle(entry, LostBearer{ended_by}, intent.at);
  if (ledger_.size() > known) shares_.TakeAnyway(OwnerOf(request_id));
  ReportEntries();
}

void MemoryState::BeginQuarantine(TimePoint ends, std::string why) {
  quarantine_.Explain(std::move(why));
  quarantine_.SetEnd(ends);
}

// Why a request_id of this age may have had its token, although the ledger does not know it.
std::optional<Failure> MemoryState::MayBeForgotten(std::optional<std::chrono::nanoseconds> age) const {
  if (age && age->count() == 0) return std::nullopt;
  const auto left = quarantine_.left();
  // The ledger knows every intent since the cause of the quarantine.
  if (age && *age < remember_ - left) return std::nullopt;
  if (left.count() > 0) return Quarantined(left);
  return age ? std::optional(TooOld(remember_)) : std::nullopt;
}

bool MemoryState::HasPlaceFor(const Admission& admission) {
  shares_.Resize(shares_.places(),
                 admission.one_caller ? Shares::Policy::kOneHolder : Shares::Policy::kShared);
  return shares_.HasPlaceFor(OwnerOf(admission.request_id));
}

// Whether a call for this target may claim a request_id that has an outcome. A call without an organization
// may be for another organization than the first one, because the default can change.
bool MemoryState::MayAskAgain(const Entry& known, const Target& target) const {
  if (on_unknown_ != OnUnknown::kAskAgain || !known.outcome.is_failure()) return false;
  const Target first = known.first.Unpack();
  return first.organization == target.organization && first.application == target.application;
}

// Ends a claim for which no token was created. A request_id that was unknown before is unknown again; any
// other is forgotten.
void MemoryState::EndWithoutOutcome(const std::string& request_id, Entry& known) {
  if (!known.unknown) return Remove(request_id);
  Failure unknown = *std::exchange(known.unknown, nullptr);
  ledger_.Settle(known, std::move(unknown), known.intended_at);
  ledger_.ForgetDue();
}

// Of an entry that the ledger has. The text may be the ledger's own.
void MemoryState::Remove(const std::string& request_id) {
  const std::string owner(OwnerOf(request_id));
  ledger_.Remove(request_id);
  OnRemoved(owner);
}

void MemoryState::OnRemoved(std::string_view owner) {
  shares_.GiveBack(owner);
  ReportEntries();
}

void MemoryState::ReportEntries() const {
  if (on_entries_) on_entries_(ledger_.size());
}

}  // namespace tokend::state
