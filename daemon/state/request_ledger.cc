#include "daemon/state/request_ledger.h"

#include <algorithm>
#include <utility>

namespace tokend::state {
namespace {

// Expired outcomes are forgotten together, at most this long after their time, so that a busy ledger does not
// wake for each.
constexpr std::chrono::milliseconds kExpiryResolution{100};

Claim ToClaim(const Outcome& outcome) {
  return std::visit([](const auto& value) { return Claim(value); }, outcome);
}

}  // namespace

RequestLedger::RequestLedger(loop::EventLoop& loop, const config::Requests& options, OnEntries on_entries)
    : loop_(loop), options_(options), on_entries_(std::move(on_entries)) {}

RequestLedger::~RequestLedger() {
  if (timer_) loop_.Cancel(*timer_);
  for (const auto& being_told : being_told_) {
    if (const auto joined = being_told.lock()) joined->clear();
  }
  // What those who joined hold may leave as it ends.
  const auto left = std::exchange(entries_, {});
}

void RequestLedger::ClaimRequest(const std::string& request_id, const RequestDigest& digest,
                                 const void* joiner, ClaimDone done) {
  ForgetExpired();
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
    if (!expiries_.empty()) {
      full.retry_after =
          std::chrono::ceil<std::chrono::milliseconds>(expiries_.begin()->first - loop_.clock().Now());
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
  ForgetExpired();
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
    expiries_.erase({known->second.expires_at, request_id});
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
  if (entry.outcome) expiries_.erase({entry.expires_at, request_id});
  entry.outcome = std::move(outcome);
  entry.expires_at = intended_at + options_.remember;
  expiries_.emplace(entry.expires_at, request_id);
  ArmExpiry();
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

void RequestLedger::ForgetExpired() {
  const TimePoint now = loop_.clock().Now();
  const std::size_t before = entries_.size();
  while (!expiries_.empty() && expiries_.begin()->first <= now) {
    entries_.erase(expiries_.begin()->second);
    expiries_.erase(expiries_.begin());
  }
  if (entries_.size() != before) TellEntries();
}

void RequestLedger::TellEntries() const {
  if (on_entries_) on_entries_(entries_.size());
}

void RequestLedger::ArmExpiry() {
  if (expiries_.empty()) return;
  const TimePoint first = expiries_.begin()->first;
  if (timer_ && timer_for_ <= first) return;
  if (timer_) loop_.Cancel(*timer_);
  const auto delay =
      std::max<std::chrono::nanoseconds>(first - loop_.clock().Now(), std::chrono::nanoseconds(0));
  timer_for_ = first;
  timer_ = loop_.After(delay + kExpiryResolution, [this] {
    timer_.reset();
    ForgetExpired();
    ArmExpiry();
  });
}

}  // namespace tokend::state
