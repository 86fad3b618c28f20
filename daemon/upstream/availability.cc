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

// Of a 429 without Retry-After.
constexpr milliseconds kFirstPause{1000};
constexpr milliseconds kLongestPause{60000};

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

}  // namespace

void Availability::Permit::Forgetter::operator()(Availability* from) const {
  for (CircuitBreaker* breaker : from->BreakersOf(organization, application)) breaker->Forget(call);
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
  const auto found = organizations_.find(organization);
  const bool is_probe = found != organizations_.end() && found->second.breaker.IsProbe(call);
  return Permit(*this, {organization, application, call, is_probe});
}

void Availability::Report(Permit permit, const MintOutcome& outcome) {
  assert(permit.from_.get() == this);
  const auto& [organization, application, call, is_probe] = permit.from_.get_deleter();
  const auto found = organizations_.find(organization);
  if (found == organizations_.end()) return;
  auto& [name, at] = *found;
  const Verdict verdict = VerdictOf(outcome);
  if (verdict == Verdict::kFailed) at.breaker.Failed(call, loop_.clock().Now());
  if (verdict == Verdict::kWorks) {
    at.breaker.Succeeded(call);
    const auto* refused = std::get_if<Refused>(&outcome.result);
    const auto reason = refused != nullptr ? std::optional(refused->failure.reason) : std::nullopt;
    // An answer to an old key says nothing of its successor.
    if (outcome.exchange.key_generation == at.key_generation) JudgeKey(at, application, call, reason);
    JudgePace(name, at, call, refused != nullptr ? &refused->failure : nullptr);
  }
  TellChanges(name, at);
}

// The organization's key, and whether it may create tokens of the application.
void Availability::JudgeKey(Organization& organization, const std::string& application,
                            CircuitBreaker::Call call, std::optional<Reason> refusal) {
  const CircuitBreaker::TimePoint now = loop_.clock().Now();
  if (refusal == Reason::kUpstreamKeyRejected) return organization.key_breaker.Failed(call, now);
  organization.key_breaker.Succeeded(call);
  if (refusal == Reason::kUpstreamRateLimited) return;
  auto& breakers = organization.application_breakers;
  auto cooling = breakers.find(application);
  if (refusal == Reason::kUpstreamForbidden) {
    if (cooling == breakers.end()) {
      if (breakers.size() >= kMaxCooling) {
        std::erase_if(breakers, [now](const auto& other) { return !other.second.Refuses(now); });
      }
      if (breakers.size() >= kMaxCooling) return;
      cooling = breakers.emplace(application, CircuitBreaker(kCooling)).first;
    }
    cooling->second.Failed(call, now);
  } else if (cooling != breakers.end()) {
    cooling->second.Succeeded(call);
    if (cooling->second.closed()) breakers.erase(cooling);
  }
}

void Availability::JudgePace(const std::string& name, Organization& organization, CircuitBreaker::Call call,
                             const Failure* refusal) {
  const bool limited = refusal != nullptr && refusal->reason == Reason::kUpstreamRateLimited;
  if (limited && refusal->retry_after) return Pause(name, organization, *refusal->retry_after);
  if (static_cast<std::uint64_t>(call) <= organization.calls_before_pause) return;
  organization.last_pause =
      limited ? std::clamp(2 * organization.last_pause, kFirstPause, kLongestPause) : milliseconds(0);
  if (!limited) return;
  organization.calls_before_pause = permits_;
  Pause(name, organization, organization.last_pause);
}

void Availability::Pause(const std::string& name, Organization& organization, milliseconds time) {
  const CircuitBreaker::TimePoint until = loop_.clock().Now() + time;
  if (until <= organization.paused_until) return;
  if (organization.pause_ends) loop_.Cancel(*organization.pause_ends);
  organization.paused_until = until;
  organization.pause_ends = loop_.After(time, [this, &name, &organization] {
    organization.pause_ends.reset();
    TellChanges(name, organization);
  });
}

void Availability::UseKeys(const KeyRing& keys) {
  for (auto& [name, at] : organizations_) {
    if (keys.contains(name)) continue;
    if (at.pause_ends) loop_.Cancel(*std::exchange(at.pause_ends, std::nullopt));
    at.breaker.Close();
    at.key_breaker.Close();
    TellChanges(name, at);
  }
  std::erase_if(organizations_, [&](const auto& organization) { return !keys.contains(organization.first); });
  for (const auto& [name, in_use] : keys) {
    const auto [found, added] = organizations_.try_emplace(
        name, Organization{in_use.generation, CircuitBreaker(kBreaker), CircuitBreaker(kCooling)});
    Organization& at = found->second;
    for (const BlockFacts& facts : kBlocks) {
      if (added && on_change_) on_change_(name, facts.block, false);
    }
    if (at.key_generation == in_use.generation) continue;
    at.key_generation = in_use.generation;
    at.key_breaker.Close();
    at.application_breakers.clear();
    TellChanges(name, at);
  }
}

std::vector<std::string> Availability::Troubles() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> troubles;
  troubles.reserve(troubles_.size());
  for (const auto& [name, block] : troubles_) {
    troubles.push_back("organization " + name + ": " + FactsOf(block).words);
  }
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

void Availability::TellChanges(const std::string& name, Organization& organization) {
  const std::pair<Block, bool> blocks[] = {{Block::kPaused, organization.pause_ends.has_value()},
                                           {Block::kBreakerOpen, !organization.breaker.closed()},
                                           {Block::kKeyRejected, !organization.key_breaker.closed()}};
  for (const auto& [block, blocked] : blocks) {
    if (std::exchange(organization.told[IndexOf(block)], blocked) == blocked) continue;
    {
      const std::lock_guard lock(mutex_);
      if (blocked) {
        troubles_.emplace(name, block);
      } else {
        troubles_.erase({name, block});
      }
    }
    if (on_change_) on_change_(name, block, blocked);
  }
}

}  // namespace tokend::upstream
