#include "daemon/state/redis/redis_state.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>
#include <variant>

#include "daemon/base/form.h"
#include "daemon/state/redis/arguments.h"
#include "daemon/state/redis/scripts.h"

namespace tokend::state {

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
      admissions_(
          parts(), sealer_, requests_,
          [this](Admissions::Call call, const Status& why) { AdmitWithoutRedis(std::move(call), why); }),
      limiter_(loop, observer_) {
  loop_.Post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) session_.Start();
  });
}

RedisState::~RedisState() {
  // While all parts are there: as a waiting call's `done` is destroyed, it may call Leave.
  admissions_.Clear();
  spending_of_.clear();
  const auto spendings = std::exchange(spendings_, {});
}

void RedisState::OnContact(RedisSession::Memory memory) {
  claims_.WriteAll(memory, [this] {
    claims_.Retry();
    session_.Open();
  });
}

void RedisState::OnContactLost() {
  const Status why = session_.health();
  const std::weak_ptr alive(alive_);
  std::vector<const void*> waiters;
  for (const Spending& spending : spendings_) waiters.push_back(spending.waiter);
  admissions_.OnContactLost(why);
  for (const void* waiter : waiters) {
    if (alive.expired()) return;
    const auto spending = spending_of_.find(waiter);
    if (spending != spending_of_.end()) spending->second->asking->LoseContact(why);
  }
}

void RedisState::Admit(Admission admission, const void* waiter, AdmitDone done) {
  admissions_.Add({waiter, std::move(admission), std::move(done)});
}

void RedisState::AdmitWithoutRedis(Admissions::Call call, const Status& why) {
  Admission& admission = call.admission;
  if (!is_local() || admission.request_id_origin != RequestIdOrigin::kDaemon) {
    return call.done(LimitsUnavailable(why));
  }
  if (claims_.size() >= requests_.max_entries) return call.done(LedgerFull(std::nullopt));
  LocalClaim claim{.digest = admission.digest, .caller = std::move(admission.caller), .nonce = MakeUuid()};
  limiter_.Spend(std::move(admission.charges), admission.latest, call.waiter,
                 [this, request_id = std::move(admission.request_id), claim = std::move(claim),
                  done = std::move(call.done)](SpendResult result) mutable {
                   const Spent* spent = std::get_if<Spent>(&result);
                   if (spent == nullptr) return done(std::get<Failure>(std::move(result)));
                   claims_.Begin(request_id, std::move(claim), LocalClaims::In::kHere);
                   done(Fresh{*spent});
                 });
}

void RedisState::Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) {
  if (!in_contact()) {
    return SpendWithoutRedis(std::move(charges), latest, waiter, std::move(done), session_.health());
  }
  spendings_.push_back({waiter, std::move(done), nullptr});
  const auto at = std::prev(spendings_.end());
  [[maybe_unused]] const bool added = spending_of_.emplace(waiter, at).second;
  assert(added);
  at->asking =
      std::make_unique<SpendCall>(parts(), SpendCall::Order{.charges = std::move(charges), .latest = latest},
                                  [this, at](SpendCall::Ending ending) { OnSpent(at, std::move(ending)); });
  at->asking->Spend();
}

void RedisState::OnSpent(Spendings::iterator at, SpendCall::Ending ending) {
  Spending ended = std::move(*at);
  spendings_.erase(at);
  if (std::holds_alternative<SpendCall::Cancelled>(ending)) return;  // Leave has forgotten it
  spending_of_.erase(ended.waiter);
  if (const auto* spent = std::get_if<SpentInRedis>(&ending)) return ended.done(Spent(*spent));
  if (auto* refusal = std::get_if<Failure>(&ending)) return ended.done(std::move(*refusal));
  // The script `spend` gives no other answer.
  const auto* lost = std::get_if<SpendCall::NoContact>(&ending);
  const Status why = lost != nullptr ? lost->why : NotUnderstood();
  SpendCall::Order& order = ended.asking->order();
  SpendWithoutRedis(std::move(order.charges), order.latest, ended.waiter, std::move(ended.done), why);
}

void RedisState::SpendWithoutRedis(Charges charges, TimePoint latest, const void* waiter, SpendDone done,
                                   const Status& why) {
  if (!is_local()) return done(LimitsUnavailable(why));
  limiter_.Spend(std::move(charges), latest, waiter, std::move(done));
}

void RedisState::Leave(const std::string& request_id, const void* waiter) {
  if (limiter_.Leave(waiter)) return Abandon(request_id);
  const auto known = spending_of_.find(waiter);
  if (known == spending_of_.end()) return admissions_.Leave(waiter);
  Spending& spending = *known->second;
  spending_of_.erase(known);
  const SpendDone uncalled = std::exchange(spending.done, nullptr);
  spending.asking->Cancel();
  Abandon(request_id);
}

void RedisState::GiveBack(const Charges& charges, Spent spent) {
  if (const auto* here = std::get_if<SpentHere>(&spent)) return limiter_.GiveBack(charges, *here);
  GiveBackInRedis(session_, charges, std::get<SpentInRedis>(spent));
}

void RedisState::Check(Charges charges, TimePoint latest, CheckDone done) {
  const auto without_redis = [this](const Charges& of, TimePoint until, const Status& why) {
    return is_local() ? limiter_.Refusal(of, until) : LimitsUnavailable(why);
  };
  if (!in_contact()) return done(without_redis(charges, latest, session_.health()));
  std::vector<std::string> arguments;
  AppendCall(turns_.NewNumber(), charges, latest - loop_.clock().Now(), arguments);
  session_.Run(RedisScripts::Get().check, RedisSession::Writes::kNothing, std::move(arguments),
               [this, without_redis, charges = std::move(charges), latest,
                done = std::move(done)](const Result<RedisAnswer>& answer) mutable {
                 if (!answer.ok()) return done(without_redis(charges, latest, answer.status()));
                 if (answer->word() != "limited") return done(std::nullopt);
                 done(turns_.Limited(charges, *answer));
               });
}

void RedisState::Levels(std::vector<Charge> charges, LevelsDone done) {
  if (!in_contact()) {
    if (is_local()) return done(limiter_.FullAt(charges));
    return done(session_.health());
  }
  std::vector<std::string> arguments;
  AppendCharges(charges, arguments);
  session_.Run(
      RedisScripts::Get().levels, RedisSession::Writes::kNothing, std::move(arguments),
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

void RedisState::Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) {
  Admissions::Calls joined = admissions_.TakeJoined(request_id);
  const AdmitResult result = ResultOf(outcome);
  claims_.Settle(request_id, std::move(outcome), intended_at);
  admissions_.Tell(std::move(joined), result);
}

void RedisState::Refuse(const std::string& request_id, const Failure& failure) {
  Admissions::Calls joined = admissions_.TakeJoined(request_id);
  claims_.Release(request_id);
  admissions_.Tell(std::move(joined), failure);
}

void RedisState::Amend(const std::string& request_id, std::optional<Answered> answered,
                       TimePoint intended_at) {
  claims_.Amend(request_id, std::move(answered), intended_at);
}

void RedisState::Abandon(const std::string& request_id) {
  Admissions::Calls joined = admissions_.TakeJoined(request_id);
  claims_.Release(request_id);
  admissions_.AddAgain(std::move(joined));
}

void RedisState::Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                         TimePoint intended_at) {
  session_.NoteEarlierRequests();
  claims_.Restore(request_id, digest, std::move(outcome), intended_at);
}

}  // namespace tokend::state
