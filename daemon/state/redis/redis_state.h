#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/secret.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/quarantine.h"
#include "daemon/state/rate_limiter.h"
#include "daemon/state/redis/calls.h"
#include "daemon/state/redis/local_claims.h"
#include "daemon/state/redis/redis.h"
#include "daemon/state/redis/sealer.h"
#include "daemon/state/redis/session.h"
#include "daemon/state/redis/turns.h"
#include "daemon/state/state.h"

namespace tokend::state {

// The state that several replicas share in one Redis. While Redis is out of reach, requests are refused; or,
// if the configuration says so, those whose request_id the daemon made are admitted by this replica's own
// limits. A claim that may have been written to Redis counts as written, and is undone later.
class RedisState final : public State {
 public:
  struct Options {
    config::Requests requests;
    config::OnRedisFailure on_failure = config::OnRedisFailure::kDeny;
    Secret encryption_key;  // 32 bytes
  };

  // `loop` and `redis` outlive this. Contact is made once the loop runs.
  RedisState(loop::EventLoop& loop, Redis& redis, Options options, Observer observer = {});
  // While all parts are there: as a waiting call's `done` is destroyed, it may call Leave.
  ~RedisState() override { calls_.Clear(); }

  void Admit(Admission admission, const void* waiter, AdmitDone done) override;
  void Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) override;
  void Leave(const std::string& request_id, const void* waiter) override;
  void GiveBack(const Charges& charges, Spent spent) override;
  void Check(Charges charges, TimePoint latest, CheckDone done) override;
  void Levels(std::vector<Charge> charges, LevelsDone done) override;
  void Settle(const std::string& request_id, Outcome outcome, Intent intent) override;
  void Refuse(const std::string& request_id, const Failure& failure) override;
  void Amend(const std::string& request_id, std::optional<Answered> answered, Intent intent) override;
  void Abandon(const std::string& request_id) override;
  void Restore(const std::string& request_id, const std::optional<RequestDigest>& digest, Target target,
               std::uint64_t ended_by, Intent intent) override;
  // A replica that can do without Redis is healthy without it.
  Status health() const override { return is_local() ? absl::OkStatus() : reach(); }

  std::vector<std::string> Troubles() const override;
  // Redis's own, as it was last told.
  Status quarantine() const override { return quarantine_.status(); }

  // Whether Redis is within reach. Any thread.
  Status reach() const { return session_.health(); }

 private:
  void OnContact(RedisSession::Memory memory);
  void OnDifferences(const std::vector<std::string>& settings);
  void DecideWithoutRedis(AdmitCall call, const Status& why);

  bool is_local() const { return on_failure_ == config::OnRedisFailure::kLocal; }

  loop::EventLoop& loop_;
  const config::Requests requests_;
  const config::OnRedisFailure on_failure_;
  const Observer observer_;
  const Sealer sealer_;
  Quarantine quarantine_;
  RedisSession session_;
  LocalClaims claims_;
  RedisTurns turns_;
  RedisCalls calls_;
  mutable std::mutex mutex_;
  std::vector<std::string> differences_;  // the settings in which another replica differs
  RateLimiter limiter_;                   // of this replica alone; ends first, as its calls may leave then
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
