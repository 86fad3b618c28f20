#include "daemon/upstream/availability.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/upstream/central_failures.h"

namespace tokend::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kFailures = 5;
constexpr std::size_t kApplications = 3;
// Of an organization, whose failures Row counts.
constexpr CircuitBreaker::Options kOrganizationBreaker{1, seconds(1), seconds(30)};
constexpr CircuitBreaker::Options kApplicationBreaker{kFailures, seconds(1), seconds(30)};
// Of a rejected key, and of a forbidden application.
constexpr CircuitBreaker::Options kCooling{1, seconds(1), seconds(60)};
// For a relay's credentials, when the central tokend does not accept them.
constexpr CircuitBreaker::Options kCoolingOfRelay{1, seconds(1), seconds(5)};
constexpr char kRelayRejected[] = "it does not accept this relay's credentials";

// Of a 429 without Retry-After.
constexpr milliseconds kFirstPause{1000};
constexpr milliseconds kLongestPause{60000};

// At most this many failing applications of one organization are remembered; further ones only once some of
// them may be sent again.
constexpr std::size_t kMaxApplications = 1024;

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

const Failure* FailureOf(const MintOutcome& outcome) {
  if (const auto* refused = std::get_if<Refused>(&outcome.result)) return &refused->failure;
  const auto* unclear = std::get_if<Indeterminate>(&outcome.result);
  return unclear != nullptr ? &unclear->failure : nullptr;
}

Failure BreakerOpen(const char* whose, const std::string& cause, milliseconds wait) {
  return {.reason = Reason::kUpstreamUnavailable,
          .detail = absl::StrCat("the circuit breaker", whose, " is open; its last failure: ", cause),
          .retry_after = wait};
}

// The failure of a request that the relay does not send, in words about the central tokend.
Failure AtCentre(Failure failure) {
  const bool rejected = failure.reason == Reason::kUpstreamKeyRejected;
  failure.message = rejected ? CentreRejectsRelay().message : CentreUnreachable("").message;
  if (rejected) {
    failure.detail =
        "the central tokend has not accepted the relay's credentials; they are tried again later";
  }
  return failure;
}

// An outcome from which the breakers of an organization learn what `outcome` says of the central tokend.
MintOutcome AsOfOrganization(const MintOutcome& outcome) {
  UpstreamExchange exchange = outcome.exchange;
  switch (exchange.centre) {
    case Centre::kByOutcome:
      return outcome;
    case Centre::kWorks:
      return {Minted{}, exchange};
    case Centre::kRejects:
      return {Refused{{.reason = Reason::kUpstreamKeyRejected}}, exchange};
    case Centre::kUnheard:
      break;
  }
  exchange.http_status = 0;
  return {Minted{}, exchange};
}

std::string PlaceOf(const std::string& organization, const std::string& application) {
  return absl::StrCat(organization, "/", application);
}

}  // namespace

void Availability::Row::Add(const std::string& application, bool connected) {
  ++failures;
  unconnected = connected ? 0 : unconnected + 1;
  if (applications.size() < kApplications) applications.insert(application);
}

bool Availability::Row::OpensBreaker() const {
  return unconnected >= kFailures || (failures >= kFailures && applications.size() >= kApplications);
}

void Availability::Permit::Forgetter::operator()(Availability* from) const {
  for (CircuitBreaker* breaker : from->BreakersOf(organization, application)) breaker->Forget(call);
}

Availability::Availability(loop::EventLoop& loop, const KeyRing& keys, OnChange on_change)
    : loop_(loop), on_change_(std::move(on_change)) {
  UseKeys(keys);
}

Availability::Availability(loop::EventLoop& loop, CentralTokend centre, OnChange on_change)
    : loop_(loop), centre_(std::move(centre)), on_change_(std::move(on_change)) {
  Add(centre_->address, centre_->credentials_generation(), CircuitBreaker(kCoolingOfRelay));
}

std::optional<Failure> Availability::Check(const Request& request) {
  if (!centre_) return CheckOne(request);
  UpdateCredentials();
  const std::string application = PlaceOf(request.organization, request.application);
  std::optional<Failure> refusal = CheckOne({centre_->address, application, request.caller});
  if (refusal) return AtCentre(*std::move(refusal));
  return std::nullopt;
}

std::variant<Availability::Permit, Failure> Availability::Enter(const Request& request) {
  if (std::optional<Failure> refusal = Check(request)) return *std::move(refusal);
  if (!centre_) return EnterOne(request);
  const std::string application = PlaceOf(request.organization, request.application);
  return EnterOne({centre_->address, application, request.caller});
}

void Availability::Report(Permit permit, const MintOutcome& outcome) {
  if (!centre_) return ReportOne(permit, outcome);
  UpdateCredentials();
  ReportOne(permit, AsOfOrganization(outcome));
}

void Availability::UpdateCredentials() {
  auto& [name, at] = *organizations_.begin();
  UseGeneration(name, at, centre_->credentials_generation());
}

std::optional<Failure> Availability::CheckOne(const Request& request) {
  const auto found = organizations_.find(request.organization);
  if (found == organizations_.end()) return std::nullopt;
  const Organization& at = found->second;
  const CircuitBreaker::TimePoint now = loop_.clock().Now();
  for (CircuitBreaker* breaker : BreakersOf(request.organization, request.application)) {
    breaker->Saw(request.caller, now);
  }
  if (at.key_breaker.Refuses(request.caller, now)) {
    return Failure{Reason::kUpstreamKeyRejected,
                   "upstream has rejected this API key; it is tried again later"};
  }
  const auto application = at.applications.find(request.application);
  const bool failing = application != at.applications.end();
  if (failing && application->second.forbidden.Refuses(request.caller, now)) {
    return Failure{Reason::kUpstreamForbidden,
                   "upstream has forbidden this application to this API key; it is tried again later"};
  }
  if (at.paused_until > now) {
    return Failure{.reason = Reason::kUpstreamRateLimited,
                   .detail = "upstream has asked for a pause",
                   .retry_after = std::chrono::ceil<milliseconds>(at.paused_until - now)};
  }
  if (const std::optional<milliseconds> wait = at.breaker.Refuses(request.caller, now)) {
    return BreakerOpen("", at.cause, *wait);
  }
  if (!failing) return std::nullopt;
  if (const std::optional<milliseconds> wait = application->second.breaker.Refuses(request.caller, now)) {
    return BreakerOpen(" of this application", application->second.cause, *wait);
  }
  return std::nullopt;
}

Availability::Permit Availability::EnterOne(const Request& request) {
  const CircuitBreaker::Call call{++permits_};
  for (CircuitBreaker* breaker : BreakersOf(request.organization, request.application)) {
    breaker->Pass(call, request.caller);
  }
  bool is_probe = false;
  if (const auto found = organizations_.find(request.organization); found != organizations_.end()) {
    const auto application = found->second.applications.find(request.application);
    is_probe = found->second.breaker.IsProbe(call) ||
               (application != found->second.applications.end() && application->second.breaker.IsProbe(call));
  }
  return Permit(*this, {request.organization, request.application, call, is_probe});
}

void Availability::ReportOne(const Permit& permit, const MintOutcome& outcome) {
  assert(permit.from_.get() == this);
  const auto& [organization, application, call, is_probe] = permit.from_.get_deleter();
  const auto found = organizations_.find(organization);
  if (found == organizations_.end()) return;
  auto& [name, at] = *found;
  JudgeHealth(at, application, call, outcome);
  if (VerdictOf(outcome) == Verdict::kWorks) {
    const auto* refused = std::get_if<Refused>(&outcome.result);
    const auto reason = refused != nullptr ? std::optional(refused->failure.reason) : std::nullopt;
    // An answer to an old key says nothing of its successor.
    if (outcome.exchange.key_generation == at.key_generation) JudgeKey(at, application, call, reason);
    JudgePace(name, at, call, refused != nullptr ? &refused->failure : nullptr);
  }
  const auto failing = at.applications.find(application);
  if (failing != at.applications.end() && failing->second.breaker.idle() &&
      failing->second.forbidden.idle()) {
    at.applications.erase(failing);
  }
  TellChanges(name, at);
}

// Whether the upstream works, for the organization and for the application.
void Availability::JudgeHealth(Organization& organization, const std::string& application,
                               CircuitBreaker::Call call, const MintOutcome& outcome) {
  const Verdict verdict = VerdictOf(outcome);
  if (verdict == Verdict::kNothingSaid) return;
  if (verdict == Verdict::kWorks) {
    organization.row = {};
    organization.breaker.Succeeded(call);
    const auto failing = organization.applications.find(application);
    if (failing != organization.applications.end()) failing->second.breaker.Succeeded(call);
    return;
  }
  const CircuitBreaker::TimePoint now = loop_.clock().Now();
  const Failure* const failure = FailureOf(outcome);
  organization.cause = failure != nullptr ? failure->detail : "";
  organization.row.Add(application, failure == nullptr || failure->reason != Reason::kUpstreamUnavailable);
  const bool blames_all = !organization.breaker.closed() || organization.row.OpensBreaker();
  if (blames_all) organization.breaker.Failed(call, now);
  Application* const failing = ApplicationOf(organization, application);
  if (failing == nullptr || (blames_all && !failing->breaker.IsProbe(call))) return;
  failing->cause = organization.cause;
  failing->breaker.Failed(call, now);
}

Availability::Application* Availability::ApplicationOf(Organization& organization,
                                                       const std::string& application) {
  auto& applications = organization.applications;
  const auto found = applications.find(application);
  if (found != applications.end()) return &found->second;
  if (applications.size() >= kMaxApplications) {
    std::erase_if(applications, [now = loop_.clock().Now()](const auto& other) {
      return !other.second.breaker.Refuses(now) && !other.second.forbidden.Refuses(now);
    });
  }
  if (applications.size() >= kMaxApplications) return nullptr;
  return &applications
              .emplace(application,
                       Application{CircuitBreaker(kApplicationBreaker), CircuitBreaker(kCooling)})
              .first->second;
}

// The organization's key, and whether it may create tokens of the application.
void Availability::JudgeKey(Organization& organization, const std::string& application,
                            CircuitBreaker::Call call, std::optional<Reason> refusal) {
  const CircuitBreaker::TimePoint now = loop_.clock().Now();
  if (refusal == Reason::kUpstreamKeyRejected) return organization.key_breaker.Failed(call, now);
  organization.key_breaker.Succeeded(call);
  if (refusal == Reason::kUpstreamRateLimited) return;
  if (refusal == Reason::kUpstreamForbidden) {
    Application* const forbidden = ApplicationOf(organization, application);
    if (forbidden != nullptr) forbidden->forbidden.Failed(call, now);
    return;
  }
  const auto found = organization.applications.find(application);
  if (found != organization.applications.end()) found->second.forbidden.Succeeded(call);
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
  if (centre_) return;
  for (auto& [name, at] : organizations_) {
    if (keys.contains(name)) continue;
    if (at.pause_ends) loop_.Cancel(*std::exchange(at.pause_ends, std::nullopt));
    at.breaker.Close();
    at.key_breaker.Close();
    at.applications.clear();
    TellChanges(name, at);
  }
  std::erase_if(organizations_, [&](const auto& organization) { return !keys.contains(organization.first); });
  for (const auto& [name, in_use] : keys) {
    const auto found = organizations_.find(name);
    if (found == organizations_.end()) {
      Add(name, in_use.generation, CircuitBreaker(kCooling));
    } else {
      UseGeneration(found->first, found->second, in_use.generation);
    }
  }
}

void Availability::Add(const std::string& name, std::uint64_t key_generation, CircuitBreaker key_breaker) {
  organizations_.emplace(
      name, Organization{key_generation, CircuitBreaker(kOrganizationBreaker), std::move(key_breaker)});
  for (const BlockFacts& facts : kBlocks) {
    if (on_change_) on_change_(name, facts.block, false, "");
  }
}

void Availability::UseGeneration(const std::string& name, Organization& organization,
                                 std::uint64_t key_generation) {
  if (organization.key_generation == key_generation) return;
  organization.key_generation = key_generation;
  organization.key_breaker.Close();
  for (auto& [application, failing] : organization.applications) failing.forbidden.Close();
  TellChanges(name, organization);
}

std::vector<std::string> Availability::Troubles() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> troubles;
  troubles.reserve(troubles_.size());
  for (const auto& [whose, cause] : troubles_) {
    const bool rejected = centre_ && whose.second == Block::kKeyRejected;
    troubles.push_back(absl::StrCat(centre_ ? "central tokend " : "organization ", whose.first, ": ",
                                    rejected ? kRelayRejected : FactsOf(whose.second).words,
                                    cause.empty() ? "" : ": ", cause));
  }
  return troubles;
}

std::vector<CircuitBreaker*> Availability::BreakersOf(const std::string& organization,
                                                      const std::string& application) {
  const auto found = organizations_.find(organization);
  if (found == organizations_.end()) return {};
  Organization& at = found->second;
  std::vector<CircuitBreaker*> breakers = {&at.breaker, &at.key_breaker};
  const auto failing = at.applications.find(application);
  if (failing != at.applications.end()) {
    breakers.insert(breakers.end(), {&failing->second.breaker, &failing->second.forbidden});
  }
  return breakers;
}

void Availability::TellChanges(const std::string& name, Organization& organization) {
  Tell(name, organization, Block::kPaused, organization.pause_ends.has_value(), "");
  Tell(name, organization, Block::kBreakerOpen, !organization.breaker.closed(), organization.cause);
  Tell(name, organization, Block::kKeyRejected, !organization.key_breaker.closed(), "");
  std::string first;
  std::size_t open = 0;
  for (const auto& [application, failing] : organization.applications) {
    if (!failing.breaker.closed() && ++open == 1) first = absl::StrCat(application, ": ", failing.cause);
  }
  if (open > 1) absl::StrAppend(&first, " (and ", open - 1, " more applications)");
  Tell(name, organization, Block::kApplicationBreakerOpen, open > 0, first);
}

void Availability::Tell(const std::string& name, Organization& organization, Block block, bool blocked,
                        const std::string& cause) {
  const bool changed = std::exchange(organization.told[IndexOf(block)], blocked) != blocked;
  if (!changed && !blocked) return;
  {
    const std::lock_guard lock(mutex_);
    if (blocked) {
      troubles_[{name, block}] = cause;
    } else {
      troubles_.erase({name, block});
    }
  }
  if (changed && on_change_) on_change_(name, block, blocked, blocked ? cause : "");
}

}  // namespace tokend::upstream
