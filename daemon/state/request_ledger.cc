#include "daemon/state/request_ledger.h"

#include <utility>

namespace tokend::state {
namespace {

Claim ToClaim(const Outcome& outcome) {
  return std::visit([](const auto& value) { return Claim(value); }, outcome);
}

}  // namespace

RequestLedger::RequestLedger(loop::EventLoop& loop, const config::Requests& options, OnEntries on_entries)
    : loop_(loop),
      options_(options),
      on_entries_(std::move(on_entries)),
      expiries_(loop, [this](const std::string& request_id) {
        entries_.erase(request_id);
        TellEntries();
      }) {}

RequestLedger::~RequestLedger() {
  for (const auto& being_told : being_told_) {
    if (const auto joined = being_told.lock()) joined->clear();
  }
  // What those who joined hold may leave as it ends.
  const auto left = std::exchange(entries_, {});
}

void RequestLedger::ClaimRequest(const std::string& request_id, const RequestDigest& digest,
                                 const void* joiner, ClaimDone done) {
  expiries_.ForgetDue();
  if (auto known = entries_.find(request_id); known != entries_.end()) {
    Entry& entry = known->second;
    if (entry.digest != digest) {
      return done(Failure{Reason::kRequestIdReused, "this request_id was used for another request"});
    }
    if (entry.outcome) return done(ToClaim(*entry.outcome));
    entry.joined.push_back({joiner, std::move(done)});
    return;
  }
  if (entries_.size() >= options_.max_entries) {
    Failure full{Reason::kOverloaded, "the request ledger is full (requests.max_entries)"};
    if (!expiries_.times().empty()) {
      full.retry_after = std::chrono::ceil<std::chrono::milliseconds>(expiries_.times().begin()->first -
                                                                      loop_.clock().Now());
    }
    return done(std::move(full));
  }
  entries_.emplace(request_id, Entry{digest, std::nullopt, {}, {}});
  TellEntries();
  done(Fresh{});
}

void RequestLedger::Leave(const std::string& request_id, const void* joiner) {
  const auto leaves = [joiner](const Joined& joined) { return joined.joiner == joiner; };
  if (auto known = entries_.find(request_id); known != entries_.end()) known->second.joined.remove_if(leaves);
  for (const auto& being_told : being_told_) {
    if (const auto joined = being_told.lock()) joined->remove_if(leaves);
  }
}

void RequestLedger::Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) {
  auto known = entries_.find(request_id);
  if (known == entries_.end()) return;
  std::list<Joined> joined = std::move(known->second.joined);
  const Claim claim = ToClaim(outcome);
  Keep(request_id, known->second, std::move(outcome), intended_at);
  expiries_.ForgetDue();
  Tell(std::move(joined), claim);
}

void RequestLedger::Refuse(const std::string& request_id, const Failure& failure) {
  auto known = entries_.find(request_id);
  if (known == entries_.end()) return;
  std::list<Joined> joined = std::move(known->second.joined);
  entries_.erase(known);
  TellEntries();
  Tell(std::move(joined), Claim(failure));
}

void RequestLedger::Amend(const std::string& request_id, std::optional<Answered> answered,
                          TimePoint intended_at) {
  auto known = entries_.find(request_id);
  // The same id may have been claimed anew since: only its own intent's outcome is amended.
  if (known == entries_.end() || !known->second.outcome ||
      known->second.expires_at != intended_at + options_.remember) {
    return;
  }
  if (answered) {
    known->second.outcome = *std::move(answered);
  } else {
    expiries_.Remove(known->second.expires_at, request_id);
    entries_.erase(known);
    TellEntries();
  }
}

void RequestLedger::Abandon(const std::string& request_id) {
  auto known = entries_.find(request_id);
  if (known == entries_.end()) return;
  std::list<Joined>& joined = known->second.joined;
  if (joined.empty()) {
    entries_.erase(known);
    return TellEntries();
  }
  ClaimDone heir = std::move(joined.front().done);
  joined.pop_front();
  heir(Fresh{});
}

void RequestLedger::Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                            TimePoint intended_at) {
  // Past max_entries as well: to forget one would be to mint it twice.
  Entry& entry = entries_[request_id];
  entry.digest = digest;
  Keep(request_id, entry, std::move(outcome), intended_at);
  TellEntries();
}

void RequestLedger::Keep(const std::string& request_id, Entry& entry, Outcome outcome,
                         TimePoint intended_at) {
  if (entry.outcome) expiries_.Remove(entry.expires_at, request_id);
  entry.outcome = std::move(outcome);
  entry.expires_at = intended_at + options_.remember;
  expiries_.Add(entry.expires_at, request_id);
}

void RequestLedger::Tell(std::list<Joined> joined, const Claim& claim) {
  if (joined.empty()) return;
  const auto being_told = std::make_shared<std::list<Joined>>(std::move(joined));
  std::erase_if(being_told_, [](const auto& told) { return told.expired(); });
  being_told_.push_back(being_told);
  while (!being_told->empty()) {
    ClaimDone done = std::move(being_told->front().done);
    being_told->pop_front();
    done(claim);
  }
}

void RequestLedger::TellEntries() const {
  if (on_entries_) on_entries_(entries_.size());
}

}  // namespace tokend::state
