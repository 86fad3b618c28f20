#include "daemon/state/memory/request_ledger.h"

#include <utility>

namespace tokend::state {

RequestLedger::RequestLedger(loop::EventLoop& loop, const config::Requests& options, OnEntries on_entries)
    : loop_(loop),
      options_(options),
      on_entries_(std::move(on_entries)),
      expiries_(loop, [this](const std::string& request_id) {
        entries_.erase(request_id);
        ReportEntries();
      }) {}

void RequestLedger::Clear() {
  notifier_.Clear();
  // First: as a waiting call's `done` is destroyed, it may call Leave.
  const auto left = std::exchange(entries_, {});
}

void RequestLedger::ClaimRequest(const std::string& request_id, const RequestDigest& digest,
                                 const void* waiter, ClaimDone done) {
  expiries_.ForgetDue();
  if (auto known = entries_.find(request_id); known != entries_.end()) {
    Entry& entry = known->second;
    if (entry.digest != digest) return done(RequestIdReused());
    if (entry.outcome) return done(ResultOf(*entry.outcome));
    entry.joined.push_back({waiter, std::move(done)});
    return;
  }
  if (entries_.size() >= options_.max_entries) {
    if (expiries_.times().empty()) return done(LedgerFull(std::nullopt));
    return done(LedgerFull(std::chrono::ceil<std::chrono::milliseconds>(expiries_.times().begin()->first -
                                                                        loop_.clock().Now())));
  }
  entries_.emplace(request_id, Entry{digest, std::nullopt, {}, {}});
  ReportEntries();
  done(Fresh{});
}

void RequestLedger::Leave(const std::string& request_id, const void* waiter) {
  const auto leaves = [waiter](const Joined& joined) { return joined.waiter == waiter; };
  if (auto known = entries_.find(request_id); known != entries_.end()) known->second.joined.remove_if(leaves);
  notifier_.Leave(waiter);
}

void RequestLedger::Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) {
  auto known = entries_.find(request_id);
  if (known == entries_.end()) return;
  std::list<Joined> joined = std::move(known->second.joined);
  const AdmitResult result = ResultOf(outcome);
  Keep(request_id, known->second, std::move(outcome), intended_at);
  expiries_.ForgetDue();
  Tell(std::move(joined), result);
}

void RequestLedger::Refuse(const std::string& request_id, const Failure& failure) {
  auto known = entries_.find(request_id);
  if (known == entries_.end()) return;
  std::list<Joined> joined = std::move(known->second.joined);
  entries_.erase(known);
  ReportEntries();
  Tell(std::move(joined), failure);
}

void RequestLedger::Amend(const std::string& request_id, std::optional<Answered> answered,
                          TimePoint intended_at) {
  auto known = entries_.find(request_id);
  // The request_id may have been claimed again since: only the outcome of this intent is amended.
  if (known == entries_.end() || !known->second.outcome ||
      known->second.expires_at != intended_at + options_.remember) {
    return;
  }
  if (answered) {
    known->second.outcome = *std::move(answered);
  } else {
    expiries_.Remove(known->second.expires_at, request_id);
    entries_.erase(known);
    ReportEntries();
  }
}

void RequestLedger::Abandon(const std::string& request_id) {
  auto known = entries_.find(request_id);
  if (known == entries_.end()) return;
  std::list<Joined>& joined = known->second.joined;
  if (joined.empty()) {
    entries_.erase(known);
    return ReportEntries();
  }
  ClaimDone heir = std::move(joined.front().done);
  joined.pop_front();
  heir(Fresh{});
}

void RequestLedger::Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                            TimePoint intended_at) {
  // Also beyond max_entries: a request_id that is forgotten could be minted twice.
  Entry& entry = entries_[request_id];
  entry.digest = digest;
  Keep(request_id, entry, std::move(outcome), intended_at);
  ReportEntries();
}

void RequestLedger::Keep(const std::string& request_id, Entry& entry, Outcome outcome,
                         TimePoint intended_at) {
  if (entry.outcome) expiries_.Remove(entry.expires_at, request_id);
  entry.outcome = std::move(outcome);
  entry.expires_at = intended_at + options_.remember;
  expiries_.Add(entry.expires_at, request_id);
}

void RequestLedger::Tell(std::list<Joined> joined, const AdmitResult& result) {
  notifier_.ForEach(std::move(joined), [&result](Joined call) { call.done(result); });
}

void RequestLedger::ReportEntries() const {
  if (on_entries_) on_entries_(entries_.size());
}

}  // namespace tokend::state
