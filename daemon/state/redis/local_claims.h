#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/ledger.h"
#include "daemon/state/redis/sealer.h"
#include "daemon/state/redis/session.h"
#include "daemon/state/state.h"

namespace tokend::state {

// What this replica knows of a request_id that it runs or has settled.
struct LocalClaim {
  std::optional<RequestDigest> digest = {};  // absent: of an earlier run that recorded none
  Target first = {};
  std::string caller = {};  // empty if an earlier run of the daemon claimed it
  std::string nonce = {};
  std::optional<Outcome> outcome = std::nullopt;  // absent while the call runs
  TimePoint intended_at{};                        // of the outcome
  std::uint64_t version = 1;                      // counts the changes
  std::uint64_t written = 0;                      // the last version that Redis is known to have
};

// The claims of this replica, kept for as long as they are remembered. What cannot be written to Redis now is
// written when contact is made again; after Redis has lost something, all of it is. Loop thread.
class LocalClaims {
 public:
  // How many removals are kept for later. What a dropped one would have removed expires in Redis.
  static constexpr std::size_t kMaxRemovals = 16384;
  // Redis keeps a claim that nobody ends for so long beyond the time that its outcome would be remembered.
  static constexpr std::chrono::minutes kLongestCall{15};

  // What must go from Redis: a claim, if it still has this nonce, and a place in a queue.
  struct Removal {
    std::string request_id = "-";
    std::string nonce = "-";
    std::uint64_t waiter = 0;
    Charges charges = {};       // given back if the waiter was granted its turn
    RedisTime not_before = {};  // until then the script that wrote it may yet run
  };

  // All outlive this.
  LocalClaims(loop::EventLoop& loop, RedisSession& session, const Sealer& sealer,
              std::chrono::milliseconds remember);

  std::size_t size() const { return claims_.size(); }
  const LocalClaim* Find(const std::string& request_id) { return claims_.Find(request_id); }
  // Whether this replica knows for certain that the request_id runs or is remembered.
  bool IsRemembered(const std::string& request_id) {
    claims_.ForgetDue();
    return Find(request_id) != nullptr;
  }

  // Adds a claim whose call runs.
  void Begin(const std::string& request_id, LocalClaim claim) { claims_.Put(request_id, std::move(claim)); }

  // As in State; they do nothing if there is no such claim.
  void Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at);
  void Amend(const std::string& request_id, std::optional<Answered> answered, TimePoint intended_at);
  void Restore(const std::string& request_id, const std::optional<RequestDigest>& digest, Target target,
               std::uint64_t ended_by, TimePoint intended_at);

  // Ends a claim without an outcome, if there is one: it is removed here and from Redis.
  void Release(const std::string& request_id);

  // Removes something from Redis, now or once it can be done.
  void Remove(Removal removal);

  // Contact is made: writes what Redis does not have and then calls `done`. If a write fails, contact is
  // lost, and `done` is not called; nor is it after a later call of WriteAll.
  void WriteAll(RedisSession::Memory memory, absl::AnyInvocable<void()> done);

  // Repeats writes and removals that could not be done. After contact is made, call WriteAll first.
  void Retry();

 private:
  // How many claims one script writes, and how many such scripts run at a time.
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kBatches = 8;
  static constexpr std::size_t kRetriedRemovals = 1024;
  struct Batch {
    std::vector<std::string> request_ids;
    absl::AnyInvocable<void()> done;
  };
  struct Writing {
    std::deque<std::string> left;
    std::size_t running = 0;
    absl::AnyInvocable<void()> done;
  };

  void Change(const std::string& request_id, LocalClaim& claim);
  void Write(Batch batch);
  void WriteMore(const std::shared_ptr<Writing>& writing);
  void AddTo(Arguments& arguments, const std::string& request_id, const LocalClaim& claim) const;
  void Keep(Removal removal);

  loop::EventLoop& loop_;
  RedisSession& session_;
  const Sealer& sealer_;
  const std::chrono::milliseconds remember_;
  Ledger<LocalClaim> claims_;
  std::shared_ptr<Writing> writing_;  // of the last WriteAll
  std::vector<Batch> put_off_;        // writes for which the connection had no room
  std::deque<Removal> removals_;      // to be done later
};

}  // namespace tokend::state
