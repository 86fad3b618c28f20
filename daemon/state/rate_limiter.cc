#include "daemon/state/rate_limiter.h"

#include <algorithm>
#include <utility>

namespace tokend::state {
namespace {

// How long a call without a deadline waits at most, so that no timer overflows.
constexpr std::chrono::hours kLongestWait{24 * 365};

}  // namespace

RateLimiter::RateLimiter(loop::EventLoop& loop, Observer observer, std::size_t max_buckets)
    : loop_(loop), observer_(std::move(observer)), buckets_(max_buckets) {}

RateLimiter::~RateLimiter() {
  // First: as a waiting call's `done` is destroyed, it may call Leave.
  waiting_.clear();
  for (auto& [name, organization] : organizations_) {
    if (organization.next) loop_.Cancel(*organization.next);
    while (!organization.queue.empty()) loop_.Cancel(organization.queue.PopFront().overdue);
  }
}

void RateLimiter::Spend(Charges charges, TimePoint latest, const void* waiter, Done done) {
  const TimePoint now = loop_.clock().Now();
  buckets_.MakeRoom(now);
  if (std::optional<Failure> refusal = Refusal(charges, latest)) return done(*std::move(refusal));
  Take(charges.own, now);
  if (MustWait(charges, Find(charges.organization_name), now)) {
    return Wait(std::move(charges), latest, waiter, std::move(done));
  }
  Take(charges.organization, now);
  done(Spent(SpentHere{.own = now, .organization = now}));
}

std::optional<Failure> RateLimiter::Refusal(const Charges& charges, TimePoint latest) const {
  const TimePoint now = loop_.clock().Now();
  if (!charges.empty() && !buckets_.HasRoom()) {
    return Failure{Reason::kOverloaded, "too many limits are being spent at a time"};
  }
  const Organization* organization = Find(charges.organization_name);
  const std::size_t ahead =
      organization != nullptr ? organization->queue.Ahead(charges.grant, charges.caller) : 0;
  std::vector<SpentLimit> spent;
  AddSpent(spent, charges.own, 0, now);
  const bool waits = MustWait(charges, organization, now);
  if (spent.empty()) {
    if (!waits) return std::nullopt;
    const bool full = organization != nullptr && organization->queue.size() >= kMaxWaitingForTurn &&
                      !organization->queue.WouldDisplaceOne(charges.grant, charges.caller);
    if (!full && TurnOf(charges.organization, ahead, now) <= latest) return std::nullopt;
  }
  if (waits) AddSpent(spent, charges.organization, ahead, now);
  return RateLimited(charges, std::move(spent), now);
}

bool RateLimiter::Leave(const void* waiter) {
  const auto found = waiting_.find(waiter);
  if (found == waiting_.end()) return false;
  Organization& organization = *found->second.organization;
  Withdraw(organization.queue.Remove(found->second.place), organization);
  return true;
}

void RateLimiter::GiveBack(const Charges& charges, SpentHere spent) {
  const TimePoint now = loop_.clock().Now();
  PutBack(charges.own, spent.own, now);
  PutBack(charges.organization, spent.organization, now);
  const auto organization = organizations_.find(charges.organization_name);
  if (organization != organizations_.end()) ArmNext(organization->second);
}

std::vector<TimePoint> RateLimiter::FullAt(const std::vector<Charge>& charges) const {
  std::vector<TimePoint> full_at;
  full_at.reserve(charges.size());
  for (const Charge& charge : charges) full_at.push_back(buckets_.FullAt(charge.key));
  return full_at;
}

const RateLimiter::Organization* RateLimiter::Find(const std::string& organization) const {
  const auto found = organizations_.find(organization);
  return found == organizations_.end() ? nullptr : &found->second;
}

bool RateLimiter::MustWait(const Charges& charges, const Organization* organization, TimePoint now) const {
  if (charges.organization.empty()) return false;
  if (organization != nullptr && !organization->queue.empty()) return true;
  return std::any_of(charges.organization.begin(), charges.organization.end(), [&](const Charge& charge) {
    return !charge.rate.Allows(buckets_.FullAt(charge.key), now);
  });
}

// When the limit, or all of them, have a token for a call with so many ahead of it.
TimePoint RateLimiter::TurnOf(const Charge& charge, std::size_t ahead, TimePoint now) const {
  return charge.rate.Earliest(buckets_.FullAt(charge.key), now, static_cast<std::int64_t>(ahead));
}
TimePoint RateLimiter::TurnOf(const std::vector<Charge>& charges, std::size_t ahead, TimePoint now) const {
  TimePoint turn = now;
  for (const Charge& charge : charges) turn = std::max(turn, TurnOf(charge, ahead, now));
  return turn;
}

// Adds the limits that have no token now for a call with so many ahead of it.
void RateLimiter::AddSpent(std::vector<SpentLimit>& spent, const std::vector<Charge>& charges,
                           std::size_t ahead, TimePoint now) const {
  for (const Charge& charge : charges) {
    const TimePoint until = TurnOf(charge, ahead, now);
    if (until > now) spent.push_back({charge.subject, until});
  }
}

void RateLimiter::Take(const std::vector<Charge>& charges, TimePoint now) {
  for (const Charge& charge : charges) buckets_.Spend(charge, now);
}

void RateLimiter::PutBack(const std::vector<Charge>& charges, TimePoint spent_at, TimePoint now) {
  for (const Charge& charge : charges) buckets_.GiveBack(charge, spent_at, now);
}

void RateLimiter::Wait(Charges charges, TimePoint latest, const void* waiter, Done done) {
  const TimePoint now = loop_.clock().Now();
  Organization& organization = organizations_[charges.organization_name];
  std::optional<Waiting> displaced;
  if (organization.queue.size() >= kMaxWaitingForTurn) {
    displaced = organization.queue.PopDisplaced(charges.grant, charges.caller);
  }
  latest = std::min(latest, now + kLongestWait);
  const loop::TimerId overdue = loop_.After(latest - now, [this, waiter] { OnOverdue(waiter); });
  const std::string grant = charges.grant;
  std::string caller = charges.caller;
  const Queue::Place place = organization.queue.Push(
      grant, std::move(caller), Waiting{std::move(charges), now, latest, waiter, overdue, std::move(done)});
  waiting_.insert_or_assign(waiter, WaitsAt{&organization, place});
  ReportQueue(organization.queue.front().charges, organization);
  ArmNext(organization);
  if (displaced) Refuse(*std::move(displaced), organization, organization.queue.size());
}

// Grants all turns that have come. If the loop runs late, a call whose time is over is refused instead.
void RateLimiter::Serve(Organization& organization) {
  const std::weak_ptr<const bool> alive = alive_;
  while (!organization.queue.empty()) {
    const TimePoint now = loop_.clock().Now();
    const Waiting& next = organization.queue.front();
    if (next.latest < now) {
      Dismiss(next.waiter);
    } else if (TurnOf(next.charges.organization, 0, now) <= now) {
      Grant(organization, now);
    } else {
      break;
    }
    if (alive.expired()) return;
  }
  ArmNext(organization);
}

void RateLimiter::Grant(Organization& organization, TimePoint now) {
  Waiting served = organization.queue.PopFront();
  Forget(served);
  Take(served.charges.organization, now);
  ReportQueue(served.charges, organization);
  if (observer_.on_turn) observer_.on_turn(now - served.since);
  served.done(Spent(SpentHere{.own = served.since, .organization = now}));
}

void RateLimiter::ArmNext(Organization& organization) {
  if (organization.next) loop_.Cancel(*std::exchange(organization.next, std::nullopt));
  if (organization.queue.empty()) return;
  const TimePoint now = loop_.clock().Now();
  const TimePoint turn = TurnOf(organization.queue.front().charges.organization, 0, now);
  organization.next = loop_.After(turn - now, [this, &organization] {
    organization.next.reset();
    Serve(organization);
  });
}

void RateLimiter::OnOverdue(const void* waiter) {
  const auto found = waiting_.find(waiter);
  if (found == waiting_.end()) return;
  // Its turn may come at this very moment: then it is granted.
  const std::weak_ptr<const bool> alive = alive_;
  Serve(*found->second.organization);
  if (!alive.expired()) Dismiss(waiter);
}

// Refuses a call whose turn has not come in time.
void RateLimiter::Dismiss(const void* waiter) {
  const auto found = waiting_.find(waiter);
  if (found == waiting_.end()) return;
  Organization& organization = *found->second.organization;
  const std::size_t ahead = organization.queue.Ahead(found->second.place);
  Waiting waiting = organization.queue.Remove(found->second.place);
  ArmNext(organization);
  Refuse(std::move(waiting), organization, ahead);
}

void RateLimiter::Refuse(Waiting waiting, const Organization& organization, std::size_t ahead) {
  Withdraw(waiting, organization);
  const TimePoint now = loop_.clock().Now();
  std::vector<SpentLimit> spent;
  AddSpent(spent, waiting.charges.organization, ahead, now);
  waiting.done(RateLimited(waiting.charges, std::move(spent), now));
}

void RateLimiter::Withdraw(const Waiting& waiting, const Organization& organization) {
  Forget(waiting);
  PutBack(waiting.charges.own, waiting.since, loop_.clock().Now());
  ReportQueue(waiting.charges, organization);
}

void RateLimiter::Forget(const Waiting& waiting) {
  loop_.Cancel(waiting.overdue);
  waiting_.erase(waiting.waiter);
}

void RateLimiter::ReportQueue(const Charges& charges, const Organization& organization) const {
  if (observer_.on_queue) observer_.on_queue(charges.organization_name, organization.queue.size());
}

}  // namespace tokend::state
