#include "daemon/state/redis/redis_state.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "daemon/base/form.h"
#include "daemon/base/sha256.h"
#include "daemon/base/text.h"
#include "daemon/state/redis/scripts.h"

namespace tokend::state {
namespace {

// What all replicas that share a Redis must have alike.
std::vector<SharedSetting> SharedSettings(const config::Requests& requests, const Sealer& sealer) {
  const std::string numbers =
      Concat({std::to_string(requests.remember.count()), " ms, ", std::to_string(requests.max_entries)});
  return {{"requests", Sha256Hex(numbers)}, {"state.redis.encryption_key_file", sealer.KeyCheck()}};
}

}  // namespace

RedisState::RedisState(loop::EventLoop& loop, Redis& redis, Options options, Observer observer)
    : loop_(loop),
      requests_(options.requests),
      on_failure_(options.on_failure),
      observer_(std::move(observer)),
      sealer_(std::move(options.encryption_key)),
      quarantine_(loop, "Redis has lost entries", observer_.on_quarantine),
      session_(
          loop, redis, {requests_.remember, SharedSettings(requests_, sealer_)},
          {.on_made = [this](RedisSession::Memory memory) { OnContact(memory); },
           .on_lost = [this] { calls_.OnContactLost(session_.health()); },
           .on_beat =
               [this](std::size_t entries) {
                 if (observer_.on_entries) observer_.on_entries(entries);
                 claims_.Retry();
               },
           .on_health = observer_.on_reach,
           .on_quarantine =
               [this](std::chrono::microseconds left) {
                 quarantine_.SetEnd(loop_.clock().Now() +
                                    std::min<std::chrono::nanoseconds>(left, requests_.remember));
               },
           .on_differences = [this](const std::vector<std::string>& settings) { OnDifferences(settings); }}),
      claims_(loop, session_, sealer_, requests_.remember),
      turns_(loop, session_, observer_),
      calls_({loop, session_, turns_, claims_}, sealer_, requests_,
             [this](AdmitCall call, const Status& why) { DecideWithoutRedis(std::move(call), why); }),
      limiter_(loop, observer_) {
  loop_.Post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) session_.Start();
  });
}

void RedisState::OnContact(RedisSession::Memory memory) {
  claims_.WriteAll(memory, [this] {
    claims_.Retry();
    session_.Open();
  });
}

void RedisState::OnDifferences(const std::vector<std::string>& settings) {
  {
    const std::lock_guard lock(mutex_);
    differences_ = settings;
  }
  if (observer_.on_differences) observer_.on_differences(settings);
}

std::vector<std::string> RedisState::Troubles() const {
  const std::lock_guard lock(mutex_);
  if (differences_.empty()) return {};
  return {"other replicas on this Redis have another value of " + Enumerate(differences_)};
}

void RedisState::Admit(Admission admission, const void* waiter, AdmitDone done) {
  calls_.Add({waiter, std::move(admission), std::move(done)});
}

void RedisState::Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) {
  calls_.Add({waiter, Admission{.charges = std::move(charges), .latest = latest},
              [done = std::move(done)](AdmitResult result) mutable {
                if (const auto* fresh = std::get_if<Fresh>(&result)) return done(fresh->spent);
                done(std::get<Failure>(std::move(result)));
              }});
}

void RedisState::DecideWithoutRedis(AdmitCall call, const Status& why) {
  Admission& admission = call.admission;
  const bool may_claim = admission.age && admission.age->count() == 0;
  if (!is_local() || (call.claims() && !may_claim)) return call.done(LimitsUnavailable(why));
  // Another relay of the same name may have used it already.
  if (call.claims() && claims_.IsRemembered(admission.request_id)) return call.done(LimitsUnavailable(why));
  if (call.claims() && claims_.size() >= requests_.max_entries) return call.done(LedgerFull(std::nullopt));
  Charges charges = admission.charges;
  limiter_.Spend(
      std::move(charges), admission.latest, call.waiter,
      [this, why, charges = std::move(admission.charges), request_id = std::move(admission.request_id),
       digest = admission.digest, target = std::move(admission.target), caller = std::move(admission.caller),
       done = std::move(call.done)](SpendResult result) mutable {
        const Spent* spent = std::get_if<Spent>(&result);
        if (spent == nullptr) return done(std::get<Failure>(std::move(result)));
        if (!request_id.empty() && claims_.IsRemembered(request_id)) {  // claimed meanwhile
          limiter_.GiveBack(charges, std::get<SpentHere>(*spent));
          return done(LimitsUnavailable(why));
        }
        if (!request_id.empty()) {
          claims_.Begin(request_id, {.digest = digest,
                                     .first = std::move(target),
                                     .caller = std::move(caller),
                                     .nonce = MakeUuid()});
        }
        done(Fresh{*spent});
      });
}

void RedisState::Leave(const std::string& request_id, const void* waiter) {
  if (limiter_.Leave(waiter) || calls_.Leave(waiter)) Abandon(request_id);
}

void RedisState::GiveBack(const Charges& charges, Spent spent) {
  if (const auto* here = std::get_if<SpentHere>(&spent)) return limiter_.GiveBack(charges, *here);
  GiveBackInRedis(session_, charges, std::get<SpentInRedis>(spent));
}

void RedisState::Check(Charges charges, TimePoint latest, CheckDone done) {
  const auto without_redis = [this](const Charges& of, TimePoint until, const Status& why) {
    return is_local() ? limiter_.Refusal(of, until) : LimitsUnavailable(why);
  };
  if (!session_.is_open()) return done(without_redis(charges, latest, session_.health()));
  Arguments arguments;
  AppendCall(turns_.NewNumber(), charges, latest - loop_.clock().Now(), arguments);
  session_.Run(RedisScripts::Get().check, std::move(arguments),
               [this, without_redis, charges = std::move(charges), latest,
                done = std::move(done)](const Result<RedisAnswer>& answer) mutable {
                 if (!answer.ok()) return done(without_redis(charges, latest, answer.status()));
                 if (answer->word() != "limited") return done(std::nullopt);
                 done(turns_.Limited(charges, *answer));
               });
}

void RedisState::Levels(std::vector<Charge> charges, LevelsDone done) {
  if (!session_.is_open()) {
    if (is_local()) return done(limiter_.FullAt(charges));
    return done(session_.health());
  }
  Arguments arguments;
  AppendCharges(charges, arguments);
  session_.Run(
      RedisScripts::Get().levels, std::move(arguments),
      [this, count = charges.size(), done = std::move(done)](const Result<RedisAnswer>& answer) mutable {
        if (!answer.ok()) return done(answer.status());
        std::vector<TimePoint> full_at;
        for (std::size_t i = 0; i < count; ++i) {
          const RedisTime full = answer->Time(i);
          full_at.push_back(full == RedisTime() ? TimePoint() : turns_.Here(full, answer->now()));
        }
        done(std::move(full_at));
      });
}

void RedisState::Settle(const std::string& request_id, Outcome outcome, Intent intent) {
  const LocalClaim* const claim = claims_.Find(request_id);
  if (claim == nullptr) return;
  AdmitCalls joined = calls_.TakeJoined(request_id);
  const AdmitResult result = ResultOfJoined(Known{claim->first, outcome});
  claims_.Settle(request_id, std::move(outcome), intent.at);
  calls_.Tell(std::move(joined), result);
}

void RedisState::Refuse(const std::string& request_id, const Failure& failure) {
  AdmitCalls joined = calls_.TakeJoined(request_id);
  claims_.Release(request_id);
  calls_.Tell(std::move(joined), failure);
}

void RedisState::Amend(const std::string& request_id, std::optional<Answered> answered, Intent intent) {
  claims_.Amend(request_id, std::move(answered), intent.at);
}

void RedisState::Abandon(const std::string& request_id) {
  AdmitCalls joined = calls_.TakeJoined(request_id);
  claims_.Release(request_id);
  calls_.AddAgain(std::move(joined));
}

void RedisState::Restore(const std::string& request_id, const std::optional<RequestDigest>& digest,
                         Target target, std::uint64_t ended_by, Intent intent) {
  session_.NoteEarlierRequests();
  claims_.Restore(request_id, digest, std::move(target), ended_by, intent.at);
}

}  // namespace tokend::state
