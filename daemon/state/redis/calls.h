#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "daemon/config/config.h"
#include "daemon/state/notifier.h"
#include "daemon/state/redis/sealer.h"
#include "daemon/state/redis/spend_call.h"
#include "daemon/state/state.h"

namespace tokend::state {

// LIMITS_UNAVAILABLE: what a call is refused with while Redis cannot be asked.
Failure LimitsUnavailable(const Status& why);

// The calls of this replica that wait in Redis to be admitted, or to spend charges for another attempt. Calls
// that claim the same request_id with the same digest are a group: the first of them asks Redis, and the
// others share the result. A call that only spends is a group of its own. Loop thread.
class RedisCalls {
 public:
  // Decides about a call while Redis cannot be asked.
  using WithoutRedis = std::function<void(AdmitCall call, const Status& why)>;

  // How often a call asks whether the call that it joined on another replica has ended.
  static constexpr std::chrono::milliseconds kJoinedPause{50};

  // `parts` and `sealer` outlive this.
  RedisCalls(const SpendCall::Parts& parts, const Sealer& sealer, const config::Requests& requests,
             WithoutRedis without_redis);
  ~RedisCalls() { Clear(); }
  RedisCalls(const RedisCalls&) = delete;
  RedisCalls& operator=(const RedisCalls&) = delete;

  // Calls the call's `done` exactly once, unless it leaves first or this ends.
  void Add(AdmitCall call);

  // Destroys the call uncalled. Whether it waited and only spends.
  bool Leave(const void* waiter);

  // Destroys all calls uncalled.
  void Clear();

  // Calls that wait in Redis are decided without it; those that are asking get an error from the session.
  void OnContactLost(const Status& why);

  // Takes out the calls that joined a call of this replica: then they all get one result, or are added again.
  AdmitCalls TakeJoined(const std::string& request_id);
  void Tell(AdmitCalls calls, const AdmitResult& result) { notifier_.Tell(std::move(calls), result); }
  void AddAgain(AdmitCalls calls);

 private:
  // A group is in one of three phases. It asks: it has a SpendCall. It pauses, as the request_id runs on
  // another replica: it has a timer. It has joined a call that runs here: it has neither.
  struct Group {
    std::uint64_t number;   // in the order of arrival; the key of a call that only spends
    AdmitCalls calls = {};  // while the group asks, for the first
    std::unique_ptr<SpendCall> asking = nullptr;
    std::optional<loop::TimerId> pause = std::nullopt;
    bool joined = false;  // a call on another replica
  };

  void Ask(const std::string& key, Group& group);
  void AskAgain(const std::string& key, Group& group);
  void OnAsked(const std::string& key, SpendCall::Ending ending);
  void OnFresh(const std::string& key, Group& group, const std::string& nonce, SpentInRedis spent);
  void OnFalseFresh(const std::string& key, const Group& group, const std::string& nonce, SpentInRedis spent);
  void OnRunning(const std::string& key, Group& group, const RedisAnswer& answer);
  AdmitResult ResultOf(const Admission& admission, const RedisAnswer& answer) const;

  // Ends the group.
  AdmitCalls TakeCalls(const std::string& key);
  void DecideWithoutRedis(AdmitCalls calls, const Status& why);

  const SpendCall::Parts parts_;
  const Sealer& sealer_;
  const config::Requests requests_;
  const WithoutRedis without_redis_;
  std::uint64_t last_number_ = 0;
  absl::flat_hash_map<std::string, std::unique_ptr<Group>> groups_;
  absl::flat_hash_map<const void*, std::string> group_of_;  // the key of each waiter's group
  Notifier notifier_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
