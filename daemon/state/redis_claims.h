#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/expiries.h"
#include "daemon/state/redis_session.h"
#include "daemon/state/sealer.h"
#include "daemon/state/state.h"

namespace tokend::state {

// The request_ids that this replica runs or has settled, kept for as long as they are remembered: what of
// them cannot be written to Redis is written when it is back, and all of it where Redis has lost what it
// held. Loop thread.
class RedisClaims {
 public:
  // What is to be dropped at a time: more is left to expire.
  static constexpr std::size_t kMaxDrops = 16384;
  // A claim that nobody ends lives so much longer than its outcome would.
  static constexpr std::chrono::minutes kLongestCall{15};

  struct Claim {
    RequestDigest digest{};
    std::string caller = {};  // empty: of an earlier life of the replica
    std::string nonce = {};
    std::optional<Outcome> outcome = std::nullopt;  // none: it runs
    TimePoint intended_at{};                        // of an outcome
    std::uint64_t version = 0;                      // the last that there is
    std::uint64_t written = 0;                      // the last that Redis is known to have
  };

  // What is to go from Redis: a claim, where it runs under this nonce, and its place in a queue.
  struct Drop {
    std::string request_id = "-";
    std::string nonce = "-";
    std::uint64_t turn = 0;
    Charges charges = {};         // that were spent, where it waits or was granted its turn
    std::int64_t not_before = 0;  // by Redis's clock: until then what put it there may yet be run
  };

  // All outlive this.
  RedisClaims(loop::EventLoop& loop, RedisSession& session, const Sealer& sealer,
              std::chrono::milliseconds remember);
  RedisClaims(const RedisClaims&) = delete;
  RedisClaims& operator=(const RedisClaims&) = delete;

  std::size_t size() const { return claims_.size(); }
  const Claim* Find(const std::string& request_id) const;

  // A claim runs: Redis knows it, or is yet to.
  enum class In { kRedis, kHere };
  void Begin(const std::string& request_id, Claim claim, In in);

  // As in State. False where there is no such claim.
  bool Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at);
  bool End(const std::string& request_id);
  void Amend(const std::string& request_id, std::optional<Answered> answered, TimePoint intended_at);
  void Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
               TimePoint intended_at);

  void Remove(Drop drop);

  // Contact is made: writes what Redis does not have, and tells when that is done. Where it fails contact is
  // lost, and `done` is not called.
  void WriteAll(RedisSession::Memory memory, absl::AnyInvocable<void()> done);

  // Does what could not be done before. Where contact is made again, after WriteAll.
  void Retry();

 private:
  // One script writes so many, and so many are on their way at a time.
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kBatches = 8;
  static constexpr std::size_t kRetriedDrops = 1024;
  struct Batch {
    std::vector<std::string> request_ids;
    absl::AnyInvocable<void()> done;
  };
  struct Writing {
    std::deque<std::string> left;
    std::size_t running = 0;
    absl::AnyInvocable<void()> done;
  };

  void Change(const std::string& request_id, Claim& claim);
  void Write(Batch batch);
  void WriteMore(const std::shared_ptr<Writing>& writing);
  void AddTo(std::vector<std::string>& arguments, const std::string& request_id, const Claim& claim) const;
  void Send(Drop drop);
  void Keep(Drop drop);
  TimePoint ExpiryOf(const Claim& claim) const { return claim.intended_at + remember_; }

  loop::EventLoop& loop_;
  RedisSession& session_;
  const Sealer& sealer_;
  const std::chrono::milliseconds remember_;
  absl::flat_hash_map<std::string, Claim> claims_;
  Expiries expiries_;           // of outcomes
  std::vector<Batch> put_off_;  // for which there was no room
  std::deque<Drop> drops_;      // that could not be made
};

// The arguments of these charges, as the scripts take them.
void AppendCharges(const Charges& charges, std::vector<std::string>& arguments);
void AppendCharges(const std::vector<Charge>& charges, std::vector<std::string>& arguments);

}  // namespace tokend::state
