#include "daemon/state/redis/calls.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <utility>

#include "daemon/base/form.h"
#include "daemon/state/redis/scripts.h"

namespace tokend::state {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// When a call that was refused because of Redis may come again.
constexpr milliseconds kRetryAfter{1000};

std::string KeyOfGroup(const std::string& request_id, const RequestDigest& digest) {
  return request_id + std::string(BytesOf(digest));
}

// The script's word for the age of a request_id.
const char* WordOf(std::optional<std::chrono::nanoseconds> age, milliseconds remember) {
  if (age && *age >= remember) return "old";
  return age && age->count() == 0 ? "new" : "recent";
}

// From the answer's own time to the time that it holds.
milliseconds Until(const RedisAnswer& answer) {
  return std::chrono::ceil<milliseconds>(std::max(answer.Time(0) - answer.now(), microseconds(0)));
}

Failure UnknownOutcome(const RedisAnswer& answer) {
  const auto reason = static_cast<Reason>(answer.Number(0));
  Failure failure{.reason = MayHaveCreated(reason) ? reason : Reason::kOutcomeUnknown,
                  .detail = "the outcome of the first call with this request_id"};
  if (const std::int64_t sequence = answer.Number(1); sequence != 0) {
    failure.audit_sequence = static_cast<std::uint64_t>(sequence);
  }
  if (!answer.Text(2).empty()) failure.upstream_code = answer.Number(2);
  return failure;
}

}  // namespace

Failure LimitsUnavailable(const Status& why) {
  return {
      .reason = Reason::kLimitsUnavailable, .detail = std::string(why.message()), .retry_after = kRetryAfter};
}

RedisCalls::RedisCalls(const SpendCall::Parts& parts, const Sealer& sealer, const config::Requests& requests,
                       WithoutRedis without_redis)
    : parts_(parts), sealer_(sealer), requests_(requests), without_redis_(std::move(without_redis)) {}

void RedisCalls::Clear() {
  notifier_.Clear();
  for (const auto& [key, group] : groups_) {
    if (group->pause) parts_.loop.Cancel(*group->pause);
  }
  // First: as a waiting call's `done` is destroyed, it may call Leave.
  group_of_.clear();
  const auto groups = std::exchange(groups_, {});
}

void RedisCalls::Add(AdmitCall call) {
  const Admission& admission = call.admission;
  const LocalClaim* claim = parts_.claims.Find(admission.request_id);
  const bool runs_here = claim != nullptr && !claim->outcome;
  if (runs_here && claim->digest != admission.digest) return call.done(RequestIdReused());
  const std::string key =
      call.claims() ? KeyOfGroup(admission.request_id, admission.digest) : std::to_string(last_number_ + 1);
  const auto known = groups_.find(key);
  if (known == groups_.end() && !runs_here && !parts_.session.is_open()) {
    return without_redis_(std::move(call), parts_.session.health());
  }
  group_of_[call.waiter] = key;
  if (known != groups_.end()) {
    known->second->calls.push_back(std::move(call));
    return;
  }
  Group& group = *groups_.emplace(key, std::make_unique<Group>(Group{++last_number_})).first->second;
  group.calls.push_back(std::move(call));
  if (!runs_here) Ask(key, group);
}

void RedisCalls::Ask(const std::string& key, Group& group) {
  assert(group.asking == nullptr && !group.pause && !group.calls.empty());
  const Admission& asked = group.calls.front().admission;
  SpendCall::Order order{.charges = asked.charges, .latest = asked.latest};
  if (group.calls.front().claims()) {
    order.request_id = asked.request_id;
    order.nonce = MakeUuid();
    order.claim = {asked.request_id,
                   std::string(BytesOf(asked.digest)),
                   ToArgument(asked.target),
                   order.nonce,
                   WordOf(asked.age, requests_.remember),
                   ToArgument(requests_.remember + LocalClaims::kLongestCall),
                   std::to_string(requests_.max_entries),
                   asked.one_caller ? "1" : "0"};
  }
  group.asking = std::make_unique<SpendCall>(
      parts_, std::move(order), [this, key](SpendCall::Ending ending) { OnAsked(key, std::move(ending)); });
}

// For the calls that are left in the group.
void RedisCalls::AskAgain(const std::string& key, Group& group) {
  if (group.calls.empty()) {
    groups_.erase(key);
  } else if (parts_.session.is_open()) {
    Ask(key, group);
  } else {
    DecideWithoutRedis(TakeCalls(key), parts_.session.health());
  }
}

void RedisCalls::OnAsked(const std::string& key, SpendCall::Ending ending) {
  Group& group = *groups_.at(key);
  const std::unique_ptr<SpendCall> ended = std::move(group.asking);
  if (std::holds_alternative<SpendCall::Cancelled>(ending)) return AskAgain(key, group);
  assert(!group.calls.empty());
  if (const auto* spent = std::get_if<SpentInRedis>(&ending)) {
    return OnFresh(key, group, ended->nonce(), *spent);
  }
  if (const auto* lost = std::get_if<SpendCall::NoContact>(&ending)) {
    return DecideWithoutRedis(TakeCalls(key), lost->why);
  }
  if (const auto* refusal = std::get_if<Failure>(&ending)) return Tell(TakeCalls(key), *refusal);
  const auto& answer = std::get<RedisAnswer>(ending);
  // The script `spend` gives no other answer.
  if (!group.calls.front().claims()) return DecideWithoutRedis(TakeCalls(key), NotUnderstood());
  if (answer.word() == "running") return OnRunning(key, group, answer);
  AdmitResult result = ResultOf(group.calls.front().admission, answer);
  if (group.joined) result = ResultOfJoined(std::move(result));
  Tell(TakeCalls(key), result);
}

void RedisCalls::OnFresh(const std::string& key, Group& group, const std::string& nonce, SpentInRedis spent) {
  const AdmitCall& first = group.calls.front();
  if (first.claims() && parts_.claims.IsRemembered(first.admission.request_id)) {
    return OnFalseFresh(key, group, nonce, spent);
  }
  AdmitCall call = std::move(group.calls.front());
  group.calls.pop_front();
  group_of_.erase(call.waiter);
  if (call.claims()) {
    // Redis has its first version already.
    parts_.claims.Begin(call.admission.request_id, {.digest = call.admission.digest,
                                                    .first = call.admission.target,
                                                    .caller = call.admission.caller,
                                                    .nonce = nonce,
                                                    .written = 1});
  }
  if (group.calls.empty()) groups_.erase(key);
  call.done(Fresh{spent});
}

// Redis lets a request_id run that runs here, or has an outcome that is not forgotten yet.
void RedisCalls::OnFalseFresh(const std::string& key, const Group& group, const std::string& nonce,
                              SpentInRedis spent) {
  const Admission& asked = group.calls.front().admission;
  GiveBackInRedis(parts_.session, asked.charges, spent);
  parts_.claims.Remove({.request_id = asked.request_id, .nonce = nonce});
  const Status why = absl::UnavailableError("Redis has lost a request_id that this replica knows");
  const std::weak_ptr alive(alive_);
  Tell(TakeCalls(key), LimitsUnavailable(why));
  if (!alive.expired()) parts_.session.Distrust(why);
}

void RedisCalls::OnRunning(const std::string& key, Group& group, const RedisAnswer& answer) {
  const bool owner_lives = answer.Number(0) != 0;
  const std::string owner = answer.Text(1);
  const std::string nonce = answer.Text(2);
  if (owner == parts_.session.replica()) {
    // A claim of this replica that does not run here was left in Redis when contact was lost.
    const std::string& request_id = group.calls.front().admission.request_id;
    const LocalClaim* claim = parts_.claims.Find(request_id);
    if (claim == nullptr || claim->nonce != nonce) {
      parts_.claims.Remove({.request_id = request_id, .nonce = nonce});
    }
  } else if (!owner_lives) {
    return Tell(TakeCalls(key),
                Known{ParseTarget(answer.Text(3)),
                      Failure{Reason::kOutcomeUnknown, "the replica that ran this request_id is gone"}});
  }
  group.joined = true;
  group.pause = parts_.loop.After(kJoinedPause, [this, key] {
    Group& pausing = *groups_.at(key);
    pausing.pause.reset();
    AskAgain(key, pausing);
  });
}

AdmitResult RedisCalls::ResultOf(const Admission& admission, const RedisAnswer& answer) const {
  if (answer.word() == "token") {
    const auto intent = static_cast<std::uint64_t>(answer.Number(1));
    Target first = ParseTarget(answer.Text(2));
    auto token = sealer_.Open(answer.Text(0), admission.request_id, admission.caller);
    if (token.ok()) return Known{std::move(first), Answered{*std::move(token), intent}};
    return Known{std::move(first), Failure{.reason = Reason::kOutcomeUnknown,
                                           .detail = std::string(token.status().message()),
                                           .audit_sequence = intent}};
  }
  if (answer.word() == "unknown") return Known{ParseTarget(answer.Text(3)), UnknownOutcome(answer)};
  if (answer.word() == "reused") return RequestIdReused();
  // A call that runs ends long before its claim would expire.
  if (answer.word() == "full") return LedgerFull(std::min(Until(answer), requests_.remember));
  if (answer.word() == "quarantined") {
    return Quarantined(std::min(Until(answer), requests_.remember));
  }
  if (answer.word() == "old") return TooOld(requests_.remember);
  return LimitsUnavailable(NotUnderstood());
}

bool RedisCalls::Leave(const void* waiter) {
  const auto known = group_of_.find(waiter);
  if (known == group_of_.end()) {
    notifier_.Leave(waiter);
    return false;
  }
  const std::string key = std::move(known->second);
  group_of_.erase(known);
  Group& group = *groups_.at(key);
  const auto leaves = std::find_if(group.calls.begin(), group.calls.end(),
                                   [waiter](const AdmitCall& call) { return call.waiter == waiter; });
  const bool is_first = leaves == group.calls.begin();
  AdmitCalls left;  // destroyed when the group is whole again
  left.splice(left.end(), group.calls, leaves);
  if (group.asking != nullptr) {
    if (is_first) group.asking->Cancel();
  } else if (group.calls.empty()) {
    TakeCalls(key);
  }
  return !left.front().claims();
}

void RedisCalls::OnContactLost(const Status& why) {
  std::map<std::uint64_t, std::string> keys;
  for (const auto& [key, group] : groups_) keys.emplace(group->number, key);
  const std::weak_ptr alive(alive_);
  for (const auto& [number, key] : keys) {
    if (alive.expired()) return;
    const auto group = groups_.find(key);
    if (group == groups_.end()) continue;  // a call that was told has made it leave
    if (group->second->asking != nullptr) {
      group->second->asking->LoseContact(why);
    } else if (group->second->pause) {
      DecideWithoutRedis(TakeCalls(key), why);
    }
  }
}

AdmitCalls RedisCalls::TakeCalls(const std::string& key) {
  const auto taken = groups_.extract(key);
  if (taken.empty()) return {};
  Group& group = *taken.mapped();
  if (group.pause) parts_.loop.Cancel(*group.pause);
  for (const AdmitCall& call : group.calls) group_of_.erase(call.waiter);
  return std::move(group.calls);
}

AdmitCalls RedisCalls::TakeJoined(const std::string& request_id) {
  const LocalClaim* claim = parts_.claims.Find(request_id);
  if (claim == nullptr) return {};
  const std::string key = KeyOfGroup(request_id, claim->digest.value_or(RequestDigest()));
  const auto group = groups_.find(key);
  if (group == groups_.end() || group->second->asking != nullptr || group->second->pause) return {};
  return TakeCalls(key);
}

void RedisCalls::AddAgain(AdmitCalls calls) {
  notifier_.ForEach(std::move(calls), [this](AdmitCall call) { Add(std::move(call)); });
}

void RedisCalls::DecideWithoutRedis(AdmitCalls calls, const Status& why) {
  notifier_.ForEach(std::move(calls), [this, &why](AdmitCall call) { without_redis_(std::move(call), why); });
}

}  // namespace tokend::state
