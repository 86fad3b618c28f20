#include "daemon/state/redis_state.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "daemon/base/form.h"
#include "daemon/state/redis_scripts.h"

namespace tokend::state {
namespace {

using std::chrono::ceil;
using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// When a caller that was refused because of Redis may ask again.
constexpr milliseconds kRetryAfter{1000};

// A call without a deadline need not wait for its turn for longer.
constexpr std::chrono::hours kLongestWait{24};

std::string_view BytesOf(const RequestDigest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string GroupKey(const std::string& request_id, const RequestDigest& digest) {
  return request_id + std::string(BytesOf(digest));
}

// A time of this replica's clock, which is counted from its host's start, is told from one of Redis's by its
// sign.
bool IsOfThisReplica(Spent spent) { return spent.own < TimePoint(); }
Spent Negated(Spent spent) {
  return {TimePoint(-spent.own.time_since_epoch()), TimePoint(-spent.organization.time_since_epoch())};
}

Spent SpentSaid(const RedisAnswer& answer) {
  return {TimePoint(microseconds(answer.Number(0))), TimePoint(microseconds(answer.Number(1)))};
}

Failure Unavailable(const Status& why) {
  return {
      .reason = Reason::kLimitsUnavailable, .detail = std::string(why.message()), .retry_after = kRetryAfter};
}

Failure Reused() { return {Reason::kRequestIdReused, "this request_id was used for another request"}; }

Claim ToClaim(const Outcome& outcome) {
  return std::visit([](const auto& value) { return Claim(value); }, outcome);
}

// From the answer's time to that of its first number.
milliseconds Until(const RedisAnswer& answer) {
  return ceil<milliseconds>(microseconds(std::max<std::int64_t>(answer.Number(0) - answer.now(), 0)));
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

RedisState::RedisState(loop::EventLoop& loop, Redis& redis, Options options, Observer observer)
    : loop_(loop),
      requests_(options.requests),
      on_failure_(options.on_failure),
      observer_(std::move(observer)),
      sealer_(std::move(options.encryption_key)),
      session_(loop, redis, requests_.remember,
               {.on_made = [this](RedisSession::Memory memory) { OnContact(memory); },
                .on_lost = [this] { OnContactLost(); },
                .on_beat =
                    [this](std::size_t entries) {
                      if (observer_.on_entries) observer_.on_entries(entries);
                      claims_.Retry();
                    },
                .on_health =
                    [this](const Status& health) {
                      if (observer_.on_reach) observer_.on_reach(health);
                    }}),
      claims_(loop, session_, sealer_, requests_.remember),
      turns_(loop, session_, observer_),
      limiter_(loop, observer_) {
  loop_.Post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) session_.Start();
  });
}

RedisState::~RedisState() {
  for (const auto& being_told : being_told_) {
    if (const auto calls = being_told.lock()) calls->clear();
  }
  for (const auto& [key, group] : groups_) {
    if (group->pause) loop_.Cancel(*group->pause);
  }
  // What those who wait hold may leave as it ends.
  group_of_.clear();
  spending_of_.clear();
  const auto groups = std::exchange(groups_, {});
  const auto spending = std::exchange(spending_, {});
}

void RedisState::OnContact(RedisSession::Memory memory) {
  claims_.WriteAll(memory, [this] {
    claims_.Retry();
    session_.Open();
  });
}

// Whoever waited in Redis no longer does; who is asking will be told.
void RedisState::OnContactLost() {
  Calls calls;
  std::vector<std::string> keys;
  for (const auto& [key, group] : groups_) {
    if (group->phase == Phase::kInQueue || group->phase == Phase::kPausing) keys.push_back(key);
  }
  for (const std::string& key : keys) {
    Group& group = *groups_.at(key);
    if (group.phase == Phase::kInQueue) {
      turns_.Remove(group.number);
      Drop(group, 0);
    }
    calls.splice(calls.end(), TakeCalls(key));
  }
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, spending] : spending_) {
    if (spending.in_queue) numbers.push_back(number);
  }
  const Status why = session_.health();
  const std::weak_ptr alive(alive_);
  AdmitWithoutRedis(std::move(calls), why);
  for (const std::uint64_t number : numbers) {
    if (alive.expired()) return;
    if (!spending_.contains(number)) continue;  // one that was told has taken it away
    claims_.Remove({.turn = number, .charges = turns_.Remove(number)});
    SpendWithoutRedis(TakeSpending(number), why);
  }
}

void RedisState::Admit(Admission admission, const void* waiter, AdmitDone done) {
  const RedisClaims::Claim* claim = claims_.Find(admission.request_id);
  const bool runs_here = claim != nullptr && !claim->outcome;
  if (runs_here && claim->digest != admission.digest) return done(Reused());
  const std::string key = GroupKey(admission.request_id, admission.digest);
  Call call{waiter, std::move(admission), std::move(done)};
  const auto known = groups_.find(key);
  if (known == groups_.end() && !runs_here && !in_contact()) {
    return AdmitWithoutRedis(std::move(call), session_.health());
  }
  group_of_[waiter] = key;
  if (known != groups_.end()) {
    known->second->calls.push_back(std::move(call));
    return;
  }
  Group& group = *groups_.emplace(key, std::make_unique<Group>()).first->second;
  group.calls.push_back(std::move(call));
  if (runs_here) {
    group.phase = Phase::kJoined;
  } else {
    Ask(key, group);
  }
}

void RedisState::Ask(const std::string& key, Group& group) {
  group.phase = Phase::kAsking;
  group.asker_left = false;
  group.asked = group.calls.front().admission;
  group.nonce = MakeUuid();
  group.number = turns_.NewNumber();
  const microseconds life = requests_.remember + RedisClaims::kLongestCall;
  const Admission& asked = group.asked;
  std::vector<std::string> arguments = {
      asked.request_id,
      std::string(BytesOf(asked.digest)),
      group.nonce,
      asked.request_id_origin == RequestIdOrigin::kDaemon ? "daemon" : "caller",
      std::to_string(life.count()),
      std::to_string(requests_.max_entries)};
  const std::vector<std::string> call = CallArguments(group.number, asked.charges, asked.latest);
  arguments.insert(arguments.end(), call.begin(), call.end());
  session_.Run(RedisScripts::Get().admit, RedisSession::Writes::kLedger, std::move(arguments),
               [this, key](const Result<RedisAnswer>& answer) { OnAsked(key, answer); });
}

// For those who are left in the group.
void RedisState::AskAgain(const std::string& key, Group& group) {
  if (group.calls.empty()) {
    groups_.erase(key);
  } else if (in_contact()) {
    Ask(key, group);
  } else {
    AdmitWithoutRedis(TakeCalls(key), session_.health());
  }
}

void RedisState::OnAsked(const std::string& key, const Result<RedisAnswer>& answer) {
  Group& group = *groups_.at(key);
  if (group.asker_left) return OnAskerLeft(key, group, answer);
  if (!answer.ok()) {
    if (MayHaveRun(answer.status())) Drop(group, session_.Fence());
    return AdmitWithoutRedis(TakeCalls(key), answer.status());
  }
  if (answer->word() == "fresh") return OnFresh(key, group, SpentSaid(*answer));
  if (answer->word() == "waits") return OnQueued(key, group, *answer);
  if (answer->word() == "running") return OnRunning(key, group, *answer);
  const Claim claim = Judge(group, *answer);
  Tell(TakeCalls(key), claim);
}

void RedisState::OnAskerLeft(const std::string& key, Group& group, const Result<RedisAnswer>& answer) {
  if (!answer.ok()) {
    if (MayHaveRun(answer.status())) Drop(group, session_.Fence());
  } else if (answer->word() == "fresh") {
    GiveBackInRedis(group.asked.charges, SpentSaid(*answer));
    claims_.Remove({.request_id = group.asked.request_id, .nonce = group.nonce});
  } else if (answer->word() == "waits") {
    Drop(group, 0);
  }
  AskAgain(key, group);
}

void RedisState::OnFresh(const std::string& key, Group& group, Spent spent) {
  Call call = std::move(group.calls.front());
  group.calls.pop_front();
  group_of_.erase(call.waiter);
  claims_.Begin(call.admission.request_id,
                {.digest = call.admission.digest, .caller = call.admission.caller, .nonce = group.nonce},
                RedisClaims::In::kRedis);
  if (group.calls.empty()) {
    groups_.erase(key);
  } else {
    group.phase = Phase::kJoined;
  }
  call.done(Fresh{spent});
}

void RedisState::OnQueued(const std::string& key, Group& group, const RedisAnswer& answer) {
  if (!may_wait()) {
    Drop(group, 0);
    return AdmitWithoutRedis(TakeCalls(key), session_.health());
  }
  group.phase = Phase::kInQueue;
  turns_.Add(group.number, group.asked.charges, group.asked.latest, answer, [this, key](SpendResult result) {
    if (const Spent* spent = std::get_if<Spent>(&result)) return OnFresh(key, *groups_.at(key), *spent);
    Tell(TakeCalls(key), std::get<Failure>(std::move(result)));
  });
}

void RedisState::OnRunning(const std::string& key, Group& group, const RedisAnswer& answer) {
  const bool owner_lives = answer.Number(0) != 0;
  if (answer.Text(1) == session_.replica()) {
    // What does not run here any more was left there when contact was lost.
    const RedisClaims::Claim* claim = claims_.Find(group.asked.request_id);
    if (claim == nullptr || claim->nonce != answer.Text(2)) {
      claims_.Remove({.request_id = group.asked.request_id, .nonce = answer.Text(2)});
    }
  } else if (!owner_lives) {
    return Tell(TakeCalls(key),
                Failure{Reason::kOutcomeUnknown, "the replica that ran this request_id is gone"});
  }
  group.phase = Phase::kPausing;
  group.pause = loop_.After(kJoinedPause, [this, key] {
    Group& pausing = *groups_.at(key);
    pausing.pause.reset();
    AskAgain(key, pausing);
  });
}

Claim RedisState::Judge(const Group& group, const RedisAnswer& answer) const {
  if (answer.word() == "token") return Opened(group.asked, answer);
  if (answer.word() == "unknown") return UnknownOutcome(answer);
  if (answer.word() == "limited") return turns_.Limited(group.asked.charges, answer, 0);
  if (answer.word() == "reused") return Reused();
  if (answer.word() == "full") {
    // What runs ends long before its claim would expire.
    return Failure{.reason = Reason::kOverloaded,
                   .detail = "the request ledger is full (requests.max_entries)",
                   .retry_after = std::min(Until(answer), requests_.remember)};
  }
  if (answer.word() == "quarantined") {
    return Failure{.reason = Reason::kLimitsUnavailable,
                   .detail = "Redis has lost what it held: this request_id may have had its token",
                   .retry_after = Until(answer)};
  }
  return Unavailable(absl::UnknownError("Redis answers what no script of this daemon does"));
}

Claim RedisState::Opened(const Admission& admission, const RedisAnswer& answer) const {
  const auto intent = static_cast<std::uint64_t>(answer.Number(1));
  auto token = sealer_.Open(answer.Text(0), admission.request_id, admission.caller);
  if (token.ok()) return Answered{*std::move(token), intent};
  return Failure{.reason = Reason::kOutcomeUnknown,
                 .detail = std::string(token.status().message()),
                 .audit_sequence = intent};
}

void RedisState::Drop(const Group& group, std::int64_t not_before) {
  claims_.Remove({.request_id = group.asked.request_id,
                  .nonce = group.nonce,
                  .turn = group.number,
                  .charges = group.asked.charges,
                  .not_before = not_before});
}

RedisState::Calls RedisState::TakeCalls(const std::string& key) {
  const auto taken = groups_.extract(key);
  if (taken.empty()) return {};
  Group& group = *taken.mapped();
  if (group.pause) loop_.Cancel(*group.pause);
  for (const Call& call : group.calls) group_of_.erase(call.waiter);
  return std::move(group.calls);
}

RedisState::Calls RedisState::TakeJoined(const std::string& request_id) {
  const RedisClaims::Claim* claim = claims_.Find(request_id);
  if (claim == nullptr) return {};
  const std::string key = GroupKey(request_id, claim->digest);
  const auto group = groups_.find(key);
  if (group == groups_.end() || group->second->phase != Phase::kJoined) return {};
  return TakeCalls(key);
}

void RedisState::ForEach(Calls calls, absl::FunctionRef<void(Call)> tell) {
  if (calls.empty()) return;
  const auto being_told = std::make_shared<Calls>(std::move(calls));
  std::erase_if(being_told_, [](const auto& told) { return told.expired(); });
  being_told_.push_back(being_told);
  while (!being_told->empty()) {
    Call call = std::move(being_told->front());
    being_told->pop_front();
    tell(std::move(call));
  }
}

void RedisState::Tell(Calls calls, const Claim& claim) {
  ForEach(std::move(calls), [&claim](Call call) { call.done(claim); });
}

void RedisState::AdmitWithoutRedis(Calls calls, const Status& why) {
  ForEach(std::move(calls), [this, &why](Call call) { AdmitWithoutRedis(std::move(call), why); });
}

void RedisState::AdmitWithoutRedis(Call call, const Status& why) {
  Admission& admission = call.admission;
  if (!is_local() || admission.request_id_origin != RequestIdOrigin::kDaemon) {
    return call.done(Unavailable(why));
  }
  if (claims_.size() >= requests_.max_entries) {
    return call.done(Failure{Reason::kOverloaded, "the request ledger is full (requests.max_entries)"});
  }
  RedisClaims::Claim claim{
      .digest = admission.digest, .caller = std::move(admission.caller), .nonce = MakeUuid()};
  limiter_.Spend(std::move(admission.charges), admission.latest, call.waiter,
                 [this, request_id = std::move(admission.request_id), claim = std::move(claim),
                  done = std::move(call.done)](SpendResult result) mutable {
                   const Spent* spent = std::get_if<Spent>(&result);
                   if (spent == nullptr) return done(std::get<Failure>(std::move(result)));
                   claims_.Begin(request_id, std::move(claim), RedisClaims::In::kHere);
                   done(Fresh{Negated(*spent)});
                 });
}

void RedisState::Leave(const std::string& request_id, const void* waiter) {
  if (limiter_.Leave(waiter)) return Abandon(request_id);
  if (const auto spending = spending_of_.find(waiter); spending != spending_of_.end()) {
    LeaveSpending(spending->second);
    return Abandon(request_id);
  }
  if (const auto group = group_of_.find(waiter); group != group_of_.end()) {
    return LeaveGroup(std::string(group->second), waiter);
  }
  for (const auto& being_told : being_told_) {
    const auto calls = being_told.lock();
    if (calls != nullptr) calls->remove_if([waiter](const Call& call) { return call.waiter == waiter; });
  }
}

void RedisState::LeaveGroup(const std::string& key, const void* waiter) {
  Group& group = *groups_.at(key);
  group_of_.erase(waiter);
  const auto leaves = std::find_if(group.calls.begin(), group.calls.end(),
                                   [waiter](const Call& call) { return call.waiter == waiter; });
  const bool first = leaves == group.calls.begin();
  Calls left;
  left.splice(left.end(), group.calls, leaves);
  switch (group.phase) {
    case Phase::kAsking:
      // Its answer is waited for.
      group.asker_left = group.asker_left || first;
      break;
    case Phase::kInQueue:
      if (!first) break;
      turns_.Remove(group.number);
      Drop(group, 0);
      AskAgain(key, group);
      break;
    case Phase::kPausing:
    case Phase::kJoined:
      if (group.calls.empty()) TakeCalls(key);
      break;
  }
}

void RedisState::Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) {
  Spending spending{waiter, std::move(charges), latest, std::move(done)};
  if (!in_contact()) return SpendWithoutRedis(std::move(spending), session_.health());
  const std::uint64_t number = turns_.NewNumber();
  std::vector<std::string> arguments = CallArguments(number, spending.charges, latest);
  spending_.emplace(number, std::move(spending));
  spending_of_[waiter] = number;
  session_.Run(RedisScripts::Get().spend, RedisSession::Writes::kNothing, std::move(arguments),
               [this, number](const Result<RedisAnswer>& answer) { OnSpendAnswer(number, answer); });
}

void RedisState::OnSpendAnswer(std::uint64_t number, const Result<RedisAnswer>& answer) {
  Spending& spending = spending_.at(number);
  if (spending.waiter == nullptr) {
    const Spending left = TakeSpending(number);
    return UndoSpend(number, left.charges, answer);
  }
  if (!answer.ok()) {
    UndoSpend(number, spending.charges, answer);
    return SpendWithoutRedis(TakeSpending(number), answer.status());
  }
  if (answer->word() == "fresh") return EndSpending(number, SpentSaid(*answer));
  if (answer->word() == "limited") return EndSpending(number, turns_.Limited(spending.charges, *answer, 0));
  if (!may_wait()) {
    UndoSpend(number, spending.charges, answer);
    return SpendWithoutRedis(TakeSpending(number), session_.health());
  }
  spending.in_queue = true;
  turns_.Add(number, spending.charges, spending.latest, *answer,
             [this, number](SpendResult result) { EndSpending(number, std::move(result)); });
}

// Nobody is there for what was, or may have been, spent.
void RedisState::UndoSpend(std::uint64_t number, const Charges& charges, const Result<RedisAnswer>& answer) {
  if (!answer.ok()) {
    if (!MayHaveRun(answer.status())) return;
    claims_.Remove({.turn = number, .charges = charges, .not_before = session_.Fence()});
  } else if (answer->word() == "fresh") {
    GiveBackInRedis(charges, SpentSaid(*answer));
  } else if (answer->word() == "waits") {
    claims_.Remove({.turn = number, .charges = charges});
  }
}

void RedisState::EndSpending(std::uint64_t number, SpendResult result) {
  Spending spending = TakeSpending(number);
  spending.done(std::move(result));
}

void RedisState::SpendWithoutRedis(Spending spending, const Status& why) {
  if (!is_local()) return spending.done(Unavailable(why));
  limiter_.Spend(std::move(spending.charges), spending.latest, spending.waiter,
                 [done = std::move(spending.done)](SpendResult result) mutable {
                   if (const Spent* spent = std::get_if<Spent>(&result)) result = Negated(*spent);
                   done(std::move(result));
                 });
}

RedisState::Spending RedisState::TakeSpending(std::uint64_t number) {
  auto taken = spending_.extract(number);
  if (taken.mapped().waiter != nullptr) spending_of_.erase(taken.mapped().waiter);
  return std::move(taken.mapped());
}

void RedisState::LeaveSpending(std::uint64_t number) {
  Spending& spending = spending_.at(number);
  if (spending.in_queue) {
    claims_.Remove({.turn = number, .charges = turns_.Remove(number)});
    TakeSpending(number);
    return;
  }
  // Its answer is waited for.
  spending_of_.erase(std::exchange(spending.waiter, nullptr));
  const SpendDone uncalled = std::exchange(spending.done, nullptr);
}

void RedisState::GiveBack(const Charges& charges, Spent spent) {
  if (charges.empty()) return;
  if (IsOfThisReplica(spent)) return limiter_.GiveBack(charges, Negated(spent));
  GiveBackInRedis(charges, spent);
}

// Where that cannot be done it is lost: never is more had than the limits say.
void RedisState::GiveBackInRedis(const Charges& charges, Spent spent) {
  if (charges.empty() || !in_contact()) return;
  const auto text = [](TimePoint time) {
    return std::to_string(duration_cast<microseconds>(time.time_since_epoch()).count());
  };
  std::vector<std::string> arguments = {text(spent.own), text(spent.organization)};
  AppendCharges(charges, arguments);
  session_.Run(RedisScripts::Get().give_back, RedisSession::Writes::kNothing, std::move(arguments),
               [](const Result<RedisAnswer>&) {});
}

void RedisState::Check(Charges charges, TimePoint latest, CheckDone done) {
  if (!in_contact()) {
    if (is_local()) return done(limiter_.Refusal(charges, latest));
    return done(Unavailable(session_.health()));
  }
  std::vector<std::string> arguments = CallArguments(turns_.NewNumber(), charges, latest);
  session_.Run(RedisScripts::Get().check, RedisSession::Writes::kNothing, std::move(arguments),
               [this, charges = std::move(charges), latest,
                done = std::move(done)](const Result<RedisAnswer>& answer) mutable {
                 if (!answer.ok()) {
                   if (is_local()) return done(limiter_.Refusal(charges, latest));
                   return done(Unavailable(answer.status()));
                 }
                 if (answer->word() != "limited") return done(std::nullopt);
                 done(turns_.Limited(charges, *answer, 0));
               });
}

void RedisState::Levels(std::vector<Charge> charges, LevelsDone done) {
  if (!in_contact()) {
    if (is_local()) return done(limiter_.FullAt(charges));
    return done(session_.health());
  }
  std::vector<std::string> arguments;
  AppendCharges(charges, arguments);
  session_.Run(RedisScripts::Get().levels, RedisSession::Writes::kNothing, std::move(arguments),
               [this, charges = std::move(charges),
                done = std::move(done)](const Result<RedisAnswer>& answer) mutable {
                 if (!answer.ok()) return done(answer.status());
                 std::vector<TimePoint> full_at;
                 for (std::size_t i = 0; i < charges.size(); ++i) {
                   const std::int64_t full = answer->Number(i);
                   full_at.push_back(full == 0 ? TimePoint() : turns_.Here(full, *answer));
                 }
                 done(std::move(full_at));
               });
}

void RedisState::Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) {
  Calls joined = TakeJoined(request_id);
  const Claim claim = ToClaim(outcome);
  claims_.Settle(request_id, std::move(outcome), intended_at);
  Tell(std::move(joined), claim);
}

void RedisState::Refuse(const std::string& request_id, const Failure& failure) {
  Calls joined = TakeJoined(request_id);
  claims_.End(request_id);
  Tell(std::move(joined), failure);
}

void RedisState::Amend(const std::string& request_id, std::optional<Answered> answered,
                       TimePoint intended_at) {
  claims_.Amend(request_id, std::move(answered), intended_at);
}

void RedisState::Abandon(const std::string& request_id) {
  Calls joined = TakeJoined(request_id);
  claims_.End(request_id);
  ForEach(std::move(joined),
          [this](Call call) { Admit(std::move(call.admission), call.waiter, std::move(call.done)); });
}

void RedisState::Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                         TimePoint intended_at) {
  session_.HasPast();
  claims_.Restore(request_id, digest, std::move(outcome), intended_at);
}

std::vector<std::string> RedisState::CallArguments(std::uint64_t number, const Charges& charges,
                                                   TimePoint latest) const {
  const auto wait = std::min<std::chrono::nanoseconds>(latest - loop_.clock().Now(), kLongestWait);
  const LimitKey caller = KeyOf({charges.caller});
  std::vector<std::string> arguments = {std::to_string(number),
                                        charges.organization_name.empty() ? "-" : charges.organization_name,
                                        Hex({reinterpret_cast<const char*>(caller.data()), caller.size()}),
                                        std::to_string(duration_cast<microseconds>(wait).count())};
  AppendCharges(charges, arguments);
  return arguments;
}

}  // namespace tokend::state
