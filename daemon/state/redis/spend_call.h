#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "daemon/base/result.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/redis/local_claims.h"
#include "daemon/state/redis/session.h"
#include "daemon/state/redis/turns.h"

namespace tokend::state {

// One run of the script `admit` or `spend`. It spends charges in Redis, at once or when the call has its
// turn in the organization's queue; `admit` claims a request_id as well. Until it has ended it can be
// cancelled, and can lose contact with Redis: what it spent or claimed is then undone, also if Redis answers
// later. Loop thread.
class SpendCall {
 public:
  struct Order {
    Charges charges;
    TimePoint latest{};
    std::string request_id = "-";  // what `admit` claims
    std::string nonce = "-";
    Arguments claim = {};  // of `admit`, before the call; empty: `spend` is run
  };

  // Nothing is spent or claimed, as Redis could not be asked or contact was lost.
  struct NoContact {
    Status why;
  };
  // Nothing is spent or claimed, as the call was cancelled.
  struct Cancelled {};
  // A Failure is RATE_LIMITED. A RedisAnswer is one that only `admit` gives.
  using Ending = std::variant<SpentInRedis, Failure, RedisAnswer, NoContact, Cancelled>;
  using Done = absl::AnyInvocable<void(Ending)>;

  // How it reaches Redis. All outlive it.
  struct Parts {
    loop::EventLoop& loop;
    RedisSession& session;
    RedisTurns& turns;
    LocalClaims& claims;
  };

  // Runs the script. Calls `done` exactly once, later, unless this is destroyed first. That undoes nothing,
  // and is only done when the session ends as well; `done` may destroy this.
  SpendCall(const Parts& parts, Order order, Done done);
  SpendCall(const SpendCall&) = delete;
  SpendCall& operator=(const SpendCall&) = delete;

  // Ends the call: at once if it waits in a queue, otherwise when Redis answers.
  void Cancel();

  // Contact is lost: ends the call if it waits in a queue. Otherwise the session ends its script.
  void LoseContact(const Status& why);

  // Of its claim.
  const std::string& nonce() const { return order_.nonce; }

 private:
  enum class Phase { kAsked, kInQueue, kEnded };

  void OnAnswer(Result<RedisAnswer> answer);
  void OnWaits(const RedisAnswer& answer);
  void Undo(RedisTime not_before);
  bool LeaveQueue();
  void SetPhase(Phase next);
  void End(Ending ending);

  const Parts parts_;
  Order order_;
  Done done_;
  const std::uint64_t number_;
  Phase phase_ = Phase::kAsked;
  bool cancelled_ = false;
};

// Gives back what was spent in Redis. If Redis cannot be asked, it is lost: no limit is exceeded by that.
void GiveBackInRedis(RedisSession& session, const Charges& charges, SpentInRedis spent);

}  // namespace tokend::state
