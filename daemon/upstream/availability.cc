#include "daemon/upstream/availability.h"

#include <algorithm>
#include <utility>

namespace tokend::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Gate::Options kBreaker{5, seconds(1), seconds(30)};
constexpr Gate::Options kCooling{1, seconds(1), seconds(60)};

// Applications of one organization that are remembered as cooling; more only as others have cooled.
constexpr std::size_t kMaxCooling = 1024;

enum class Verdict { kWorks, kFailed, kNothingSaid };

// What an end says of the upstream's health: whatever it answers below 500, and in whole, shows that it
// works.
Verdict VerdictOf(const MintOutcome& outcome) {
  if (const auto* unclear = std::get_if<Indeterminate>(&outcome.result)) {
    return unclear->failure.reason == Reason::kOutcomeUnknown ? Verdict::kFailed : Verdict::kWorks;
  }
  const auto* refused = std::get_if<Refused>(&outcome.result);
  if (refused != nullptr && refused->failure.reason == Reason::kUpstreamUnavailable) return Verdict::kFailed;
  // Without an answer it was not sent by our own choice.
  return outcome.exchange.http_status == 0 ? Verdict::kNothingSaid : Verdict::kWorks;
}

std::optional<Reason> RefusalOf(const MintOutcome& outcome) {
  const auto* refused = std::get_if<Refused>(&outcome.result);
  return refused != nullptr ? std::optional(refused->failure.reason) : std::nullopt;
}

const char* WordsFor(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::kBreaker:
      return "upstream fails: the circuit breaker is open";
    case Obstacle::kRejectedKey:
      return "upstream rejects the API key: replace it";
    case Obstacle::kPause:
      return "upstream asked for a pause";
  }
  return "";
}

}  // namespace

Availability::Passage& Availability::Passage::operator=(Passage&& other) noexcept {
  if (this != &other) {
    Drop();
    from_ = std::exchange(other.from_, nullptr);
    organization_ = std::move(other.organization_);
    application_ = std::move(other.application_);
    call_ = other.call_;
  }
  return *this;
}

void Availability::Passage::Drop() {
  Availability* const from = std::exchange(from_, nullptr);
  if (from == nullptr) return;
  for (Gate* gate : from->GatesOf(organization_, application_)) gate->Drop(call_);
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
  const Gate::TimePoint now = loop_.clock().Now();
  if (at.key.Refuses(now)) {
    return Failure{Reason::kUpstreamKeyRejected,
                   "upstream has rejected this API key; it is tried again later"};
  }
  const auto cooling = at.applications.find(application);
  if (cooling != at.applications.end() && cooling->second.Refuses(now)) {
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

std::variant<Availability::Passage, Failure> Availability::Enter(const std::string& organization,
                                                                 const std::string& application) {
  if (std::optional<Failure> refusal = Check(organization, application)) return *std::move(refusal);
  Passage passage;
  passage.from_ = this;
  passage.organization_ = organization;
  passage.application_ = application;
  passage.call_ = Gate::Call{++calls_};
  for (Gate* gate : GatesOf(organization, application)) gate->Pass(passage.call_);
  return passage;
}

void Availability::Ended(Passage passage, const MintOutcome& outcome) {
  const auto found = organizations_.find(passage.organization_);
  if (found == organizations_.end()) return;
  auto& [name, at] = *found;
  const bool breaker_stood = at.breaker.shut();
  const bool key_stood = at.key.shut();
  const Verdict verdict = VerdictOf(outcome);
  if (verdict == Verdict::kFailed) at.breaker.Failed(passage.call_, loop_.clock().Now());
  if (verdict == Verdict::kWorks) {
    at.breaker.Worked(passage.call_);
    // What was said to an old key says nothing of the one in its place.
    if (outcome.exchange.key_generation == at.key_generation) {
      JudgeKey(at, passage, outcome);
      JudgeApplication(at, passage, outcome);
    }
    const auto* refused = std::get_if<Refused>(&outcome.result);
    if (refused != nullptr && refused->failure.reason == Reason::kUpstreamRateLimited &&
        refused->failure.retry_after) {
      Pause(name, at, *refused->failure.retry_after);
    }
  }
  Tell(name, Obstacle::kBreaker, breaker_stood, at.breaker.shut());
  Tell(name, Obstacle::kRejectedKey, key_stood, at.key.shut());
}

void Availability::JudgeKey(Organization& organization, const Passage& passage, const MintOutcome& outcome) {
  if (RefusalOf(outcome) == Reason::kUpstreamKeyRejected) {
    organization.key.Failed(passage.call_, loop_.clock().Now());
  } else {
    organization.key.Worked(passage.call_);
  }
}

void Availability::JudgeApplication(Organization& organization, const Passage& passage,
                                    const MintOutcome& outcome) {
  const Gate::TimePoint now = loop_.clock().Now();
  const auto reason = RefusalOf(outcome);
  auto cooling = organization.applications.find(passage.application_);
  if (reason == Reason::kUpstreamForbidden) {
    if (cooling == organization.applications.end()) {
      if (organization.applications.size() >= kMaxCooling) {
        std::erase_if(organization.applications,
                      [now](const auto& other) { return !other.second.Refuses(now); });
      }
      if (organization.applications.size() >= kMaxCooling) return;
      cooling = organization.applications.emplace(passage.application_, Gate(kCooling)).first;
    }
    cooling->second.Failed(passage.call_, now);
  } else if (reason != Reason::kUpstreamKeyRejected && reason != Reason::kUpstreamRateLimited &&
             cooling != organization.applications.end()) {
    cooling->second.Worked(passage.call_);
    if (!cooling->second.shut()) organization.applications.erase(cooling);
  }
}

void Availability::Pause(const std::string& name, Organization& organization, milliseconds time) {
  const Gate::TimePoint until = loop_.clock().Now() + time;
  if (until <= organization.paused_until) return;
  if (organization.pause_ends) loop_.Cancel(*organization.pause_ends);
  const bool stood = organization.pause_ends.has_value();
  organization.paused_until = until;
  organization.pause_ends = loop_.After(time, [this, &name, &organization] {
    organization.pause_ends.reset();
    Tell(name, Obstacle::kPause, true, false);
  });
  Tell(name, Obstacle::kPause, stood, true);
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
      Tell(name, Obstacle::kPause, true, false);
    }
    Tell(name, Obstacle::kBreaker, at.breaker.shut(), false);
    Tell(name, Obstacle::kRejectedKey, at.key.shut(), false);
    organization = organizations_.erase(organization);
  }
  for (const auto& [name, in_use] : keys) {
    const auto [found, added] =
        organizations_.try_emplace(name, Organization{in_use.generation, Gate(kBreaker), Gate(kCooling)});
    Organization& at = found->second;
    for (const Obstacle obstacle : {Obstacle::kBreaker, Obstacle::kRejectedKey, Obstacle::kPause}) {
      if (added && on_change_) on_change_(name, obstacle, false);
    }
    if (at.key_generation == in_use.generation) continue;
    at.key_generation = in_use.generation;
    Tell(name, Obstacle::kRejectedKey, at.key.shut(), false);
    at.key.Open();
    at.applications.clear();
  }
}

std::vector<std::string> Availability::Troubles() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> troubles;
  troubles.reserve(troubles_.size());
  for (const auto& [of, words] : troubles_) troubles.push_back(words);
  return troubles;
}

std::vector<Gate*> Availability::GatesOf(const std::string& organization, const std::string& application) {
  const auto found = organizations_.find(organization);
  if (found == organizations_.end()) return {};
  std::vector<Gate*> gates = {&found->second.breaker, &found->second.key};
  const auto cooling = found->second.applications.find(application);
  if (cooling != found->second.applications.end()) gates.push_back(&cooling->second);
  return gates;
}

void Availability::Tell(const std::string& name, Obstacle obstacle, bool stood, bool stands) {
  if (stood == stands) return;
  {
    const std::lock_guard lock(mutex_);
    if (stands) {
      troubles_[{name, obstacle}] = "organization " + name + ": " + WordsFor(obstacle);
    } else {
      troubles_.erase({name, obstacle});
    }
  }
  if (on_change_) on_change_(name, obstacle, stands);
}

}  // namespace tokend::upstream
