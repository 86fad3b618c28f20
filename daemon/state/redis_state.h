#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/observer.h"
#include "daemon/state/rate_limiter.h"
#include "daemon/state/redis.h"
#include "daemon/state/redis_claims.h"
#include "daemon/state/redis_session.h"
#include "daemon/state/redis_turns.h"
#include "daemon/state/sealer.h"
#include "daemon/state/state.h"

namespace tokend::state {

// The state that several replicas share in one Redis. While that is out of reach a request is refused, or,
// where the configuration says so and no caller made its id, is let in by this replica's own limits. A claim
// that may have been written counts as written. A Spent is of Redis's clock, or of this replica's (see
// LocalSpent).
class RedisState final : public State {
 public:
  struct Options {
    config::Requests requests;
    config::OnRedisFailure on_failure = config::OnRedisFailure::kDeny;
    Secret encryption_key;  // 32 bytes
  };

  // How often a call asks whether that which it joined, on another replica, has ended.
  static constexpr std::chrono::milliseconds kJoinedPause{50};

  // `loop` and `redis` outlive this. Contact is made once the loop runs.
  RedisState(loop::EventLoop& loop, Redis& redis, Options options, Observer observer = {});
  ~RedisState() override;
  RedisState(const RedisState&) = delete;
  RedisState& operator=(const RedisState&) = delete;

  void Admit(Admission admission, const void* waiter, AdmitDone done) override;
  void Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) override;
  void Leave(const std::string& request_id, const void* waiter) override;
  void GiveBack(const Charges& charges, Spent spent) override;
  void Check(Charges charges, TimePoint latest, CheckDone done) override;
  void Levels(std::vector<Charge> charges, LevelsDone done) override;
  void Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) override;
  void Refuse(const std::string& request_id, const Failure& failure) override;
  void Amend(const std::string& request_id, std::optional<Answered> answered, TimePoint intended_at) override;
  void Abandon(const std::string& request_id) override;
  void Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
               TimePoint intended_at) override;
  // Where this replica can do without Redis, it is healthy without.
  Status health() const override { return is_local() ? absl::OkStatus() : reach(); }

  // Whether Redis is within reach. Any thread.
  Status reach() const { return session_.health(); }

 private:
  struct Call {
    const void* waiter;
    Admission admission;
    AdmitDone done;
  };
  using Calls = std::list<Call>;

  // The calls of one request_id and digest that wait here, as one towards Redis. Those who have joined a call
  // that runs here wait for its end.
  enum class Phase { kAsking, kInQueue, kPausing, kJoined };
  struct Group {
    Phase phase = Phase::kAsking;
    Calls calls;      // the first is the one that asks
    Admission asked;  // what was asked for
    bool asker_left = false;
    std::string nonce = {};
    std::uint64_t number = 0;
    std::optional<loop::TimerId> pause = std::nullopt;
  };
  using Groups = absl::flat_hash_map<std::string, std::unique_ptr<Group>>;

  // A call that spends again.
  struct Spending {
    const void* waiter;  // null: it has left
    Charges charges;
    TimePoint latest;
    SpendDone done;
    bool in_queue = false;
  };

  void OnContact(RedisSession::Memory memory);
  void OnContactLost();

  void Ask(const std::string& key, Group& group);
  void AskAgain(const std::string& key, Group& group);
  void OnAsked(const std::string& key, const Result<RedisAnswer>& answer);
  void OnAskerLeft(const std::string& key, Group& group, const Result<RedisAnswer>& answer);
  void OnFresh(const std::string& key, Group& group, Spent spent);
  void OnQueued(const std::string& key, Group& group, const RedisAnswer& answer);
  void OnRunning(const std::string& key, Group& group, const RedisAnswer& answer);
  Claim Judge(const Group& group, const RedisAnswer& answer) const;
  Claim Opened(const Admission& admission, const RedisAnswer& answer) const;
  void Drop(const Group& group, std::int64_t not_before);
  void LeaveGroup(const std::string& key, const void* waiter);

  // Ends the group; its calls are whoever's takes them.
  Calls TakeCalls(const std::string& key);
  Calls TakeJoined(const std::string& request_id);
  // One after another: any of them may end others, or this.
  void ForEach(Calls calls, absl::FunctionRef<void(Call)> tell);
  void Tell(Calls calls, const Claim& claim);
  void AdmitWithoutRedis(Calls calls, const Status& why);
  void AdmitWithoutRedis(Call call, const Status& why);

  void OnSpendAnswer(std::uint64_t number, const Result<RedisAnswer>& answer);
  void UndoSpend(std::uint64_t number, const Charges& charges, const Result<RedisAnswer>& answer);
  void EndSpending(std::uint64_t number, SpendResult result);
  void SpendWithoutRedis(Spending spending, const Status& why);
  Spending TakeSpending(std::uint64_t number);
  void LeaveSpending(std::uint64_t number);
  void GiveBackInRedis(const Charges& charges, Spent spent);

  bool in_contact() const { return session_.contact() == RedisSession::Contact::kFull; }
  // Whether whoever waits in Redis is asked for. Those who waited when contact was lost have been told; that
  // one did may be heard later.
  bool may_wait() const { return session_.contact() != RedisSession::Contact::kNone; }
  bool is_local() const { return on_failure_ == config::OnRedisFailure::kLocal; }
  std::vector<std::string> CallArguments(std::uint64_t number, const Charges& charges,
                                         TimePoint latest) const;

  loop::EventLoop& loop_;
  const config::Requests requests_;
  const config::OnRedisFailure on_failure_;
  const Observer observer_;
  const Sealer sealer_;
  RedisSession session_;
  RedisClaims claims_;
  Groups groups_;
  absl::flat_hash_map<const void*, std::string> group_of_;  // by waiter
  std::map<std::uint64_t, Spending> spending_;
  absl::flat_hash_map<const void*, std::uint64_t> spending_of_;  // by waiter
  std::vector<std::weak_ptr<Calls>> being_told_;
  // These end first: what those who wait there hold may leave as it ends.
  RedisTurns turns_;
  RateLimiter limiter_;  // of this replica alone
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
