#include "daemon/upstream/availability.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace tokend::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr CircuitBreaker::Options kBreaker{5, seconds(1), seconds(30)};
// Of a rejected key, and of a forbidden application.
constexpr CircuitBreaker::Options kCooling{1, seconds(1), seconds(60)};

// At most this many forbidden applications of one organization are remembered; further ones only once some of
// them may be probed.
constexpr std::size_t kMaxCooling = 1024;

enum class Verdict { kWorks, kFailed, kNothingSaid };

// What an outcome says of the upstream's health: a complete answer with a status below 500 shows that it
// works.
Verdict VerdictOf(const MintOutcome& outcome) {
  if (const auto* unclear = std::get_if<Indeterminate>(&outcome.result)) {
    return unclear->failure.reason == Reason::kOutcomeUnknown ? Verdict::kFailed : Verdict::kWorks;
  }
  const auto* refused = std::get_if<Refused>(&outcome.result);
  if (refused != nullptr && refused->failure.reason == Reason::kUpstreamUnavailable) return Verdict::kFailed;
  // Without an answer, tokend itself chose not to send the request.
  return outcome.exchange.http_status == 0 ? Verdict::kNothingSaid : Verdict::kWorks;
}

std::optional<Reason> RefusalOf(const MintOutcome& outcome) {
  const auto* refused = std::get_if<Refused>(&outcome.result);
  return refused != nullptr ? std::optional(refused->failure.reason) : std::nullopt;
}

}  // namespace

Availability::Permit::~Permit() {
  if (from_ == nullptr) return;
  for (CircuitBreaker* breaker : from_->BreakersOf(organization_, application_)) breaker->Forget(call_);
}

Availability::Availability(loop::EventLoop& loop, const KeyRing& keys, OnChange on_change)
    : loop_(loop), on_change_(std::move(on_change)) {
  UseKeys(keys);
}

std::optional<Failure> Availability::Check(const std::string& organization,
                                           const std::string& application) const {
  const auto found = organizations_.find(organization);
  if (found == organizations_.end()) return std::nullopt;
  const Organization& at = found->second;
  const CircuitBreaker::TimePoint now = loop_.clock().Now();
  if (at.key_breaker.Refuses(now)) {
    return Failure{Reason::kUpstreamKeyRejected,
                   "upstream has rejected this API key; it is tried again later"};
  }
  const auto cooling = at.application_breakers.find(application);
  if (cooling != at.application_breakers.end() && cooling->second.Refuses(now)) {
    return Failure{Reason::kUpstreamForbidden,
                   "upstream has forbidden this application to this API key; it is tried again later"};
  }
  if (at.paused_until > now) {
    return Failure{.reason = Reason::kUpstreamRateLimited,
                   .detail = "upstream has asked for a pause",
                   .retry_after = std::chrono::ceil<milliseconds>(at.paused_until - now)};
  }
  if (const std::optional<milliseconds> wait = at.breaker.Refuses(now)) {
    return Failure{
        .reason = Reason::kUpstreamUnavailable, .detail = "the circuit breaker is open", .retry_after = wait};
  }
  return std::nullopt;
}

std::variant<Availability::Permit, Failure> Availability::Enter(const std::string& organization,
                                                                const std::string& application) {
  if (std::optional<Failure> refusal = Check(organization, application)) return *std::move(refusal);
  const CircuitBreaker::Call call{++permits_};
  for (CircuitBreaker* breaker : BreakersOf(organization, application)) breaker->Pass(call);
  return Permit(*this, organization, application, call);
}

void Availability::Report(Permit permit, const MintOutcome& outcome) {
  assert(permit.from_ == this);
  const auto found = organizations_.find(permit.organization_);
  if (found == organizations_.end()) return;
  auto& [name, at] = *found;
  const bool breaker_was_open = !at.breaker.closed();
  const bool key_was_rejected = !at.key_breaker.closed();
  const Verdict verdict = VerdictOf(outcome);
  if (verdict == Verdict::kFailed) at.breaker.Failed(permit.call_, loop_.clock().Now());
  if (verdict == Verdict::kWorks) {
    at.breaker.Succeeded(permit.call_);
    // An answer to an old key says nothing of its successor.
    if (outcome.exchange.key_generation == at.key_generation) {
      JudgeKey(at, permit.call_, outcome);
      JudgeApplication(at, permit, outcome);
    }
    const auto* refused = std::get_if<Refused>(&outcome.result);
    if (refused != nullptr && refused->failure.reason == Reason::kUpstreamRateLimited &&
        refused->failure.retry_after) {
      Pause(name, at, *refused->failure.retry_after);
    }
  }
  Tell(name, Block::kBreakerOpen, breaker_was_open, !at.breaker.closed());
  Tell(name, Block::kKeyRejected, key_was_rejected, !at.key_breaker.closed());
}

void Availability::JudgeKey(Organization& organization, CircuitBreaker::Call call,
                            const MintOutcome& outcome) {
  if (RefusalOf(outcome) == Reason::kUpstreamKeyRejected) {
    organization.key_breaker.Failed(call, loop_.clock().Now());
  } else {
    organization.key_breaker.Succeeded(call);
  }
}

void Availability::JudgeApplication(Organization& organization, const Permit& permit,
                                    const MintOutcome& outcome) {
  const CircuitBreaker::TimePoint now = loop_.clock().Now();
  const auto reason = RefusalOf(outcome);
  auto& breakers = organization.application_breakers;
  auto cooling = breakers.find(permit.application_);
  if (reason == Reason::kUpstreamForbidden) {
    if (cooling == breakers.end()) {
      if (breakers.size() >= kMaxCooling) {
        std::erase_if(breakers, [now](const auto& other) { return !other.second.Refuses(now); });
      }
      if (breakers.size() >= kMaxCooling) return;
      cooling = breakers.emplace(permit.application_, CircuitBreaker(kCooling)).first;
    }
    cooling->second.Failed(permit.call_, now);
  } else if (reason != Reason::kUpstreamKeyRejected && reason != Reason::kUpstreamRateLimited &&
             cooling != breakers.end()) {
    cooling->second.Succeeded(permit.call_);
    if (cooling->second.closed()) breakers.erase(cooling);
  }
}

void Availability::Pause(const std::string& name, Organization& organization, milliseconds time) {
  const CircuitBreaker::TimePoint until = loop_.clock().Now() + time;
  if (until <= organization.paused_until) return;
  if (organization.pause_ends) loop_.Cancel(*organization.pause_ends);
  const bool was_paused = organization.pause_ends.has_value();
  organization.paused_until = until;
  organization.pause_ends = loop_.After(time, [this, &name, &organization] {
    organization.pause_ends.reset();
    Tell(name, Block::kPaused, true, false);
  });
  Tell(name, Block::kPaused, was_paused, true);
}

void Availability::UseKeys(const KeyRing& keys) {
  for (auto organization = organizations_.begin(); organization != organizations_.end();) {
    if (keys.contains(organization->first)) {
      ++organization;
      continue;
    }
    auto& [name, at] = *organization;
    if (at.pause_ends) {
      loop_.Cancel(*at.pause_ends);
      Tell(name, Block::kPaused, true, false);
    }
    Tell(name, Block::kBreakerOpen, !at.breaker.closed(), false);
    Tell(name, Block::kKeyRejected, !at.key_breaker.closed(), false);
    organization = organizations_.erase(organization);
  }
  for (const auto& [name, in_use] : keys) {
    const auto [found, added] = organizations_.try_emplace(
        name, Organization{in_use.generation, CircuitBreaker(kBreaker), CircuitBreaker(kCooling)});
    Organization& at = found->second;
    for (const BlockFacts& facts : kBlocks) {
      if (added && on_change_) on_change_(name, facts.block, false);
    }
    if (at.key_generation == in_use.generation) continue;
    at.key_generation = in_use.generation;
    Tell(name, Block::kKeyRejected, !at.key_breaker.closed(), false);
    at.key_breaker.Close();
    at.application_breakers.clear();
  }
}

std::vector<std::string> Availability::Troubles() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> troubles;
  troubles.reserve(troubles_.size());
  for (const auto& [of, words] : troubles_) troubles.push_back(words);
  return troubles;
}

std::vector<CircuitBreaker*> Availability::BreakersOf(const std::string& organization,
                                                      const std::string& application) {
  const auto found = organizations_.find(organization);
  if (found == organizations_.end()) return {};
  Organization& at = found->second;
  std::vector<CircuitBreaker*> breakers = {&at.breaker, &at.key_breaker};
  const auto cooling = at.application_breakers.find(application);
  if (cooling != at.application_breakers.end()) breakers.push_back(&cooling->second);
  return breakers;
}

void Availability::Tell(const std::string& name, Block block, bool was_blocked, bool blocked) {
  if (was_blocked == blocked) return;
  {
    const std::lock_guard lock(mutex_);
    if (blocked) {
      troubles_[{name, block}] = "organization " + name + ": " + FactsOf(block).words;
    } else {
      troubles_.erase({name, block});
    }
  }
  if (on_change_) on_change_(name, block, blocked);
}

}  // namespace tokend::upstream
