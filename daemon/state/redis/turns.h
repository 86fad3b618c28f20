#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/state/redis/session.h"

namespace tokend::state {

// The calls of this replica that wait in Redis's queues for their turn. While there are some, it asks Redis
// again and again to serve their queues; that serves calls of all replicas, also of those that have died.
// Loop thread.
class RedisTurns {
 public:
  // A Failure is RATE_LIMITED.
  using Done = absl::AnyInvocable<void(SpendResult)>;

  // The pause between two questions. It grows with the part of the queue that waits at other replicas, so
  // that many replicas together ask hardly more often than one.
  static constexpr std::chrono::milliseconds kShortestPause{5};
  static constexpr std::chrono::milliseconds kLongestPause{50};

  // All outlive this.
  RedisTurns(loop::EventLoop& loop, RedisSession& session, const Observer& observer);
  ~RedisTurns();
  RedisTurns(const RedisTurns&) = delete;
  RedisTurns& operator=(const RedisTurns&) = delete;

  // A number for a call that may have to wait, by which Redis knows it.
  std::uint64_t NewNumber() { return ++last_number_; }

  // Adds a call that waits, by an answer "waits". Calls `done` when the call has its turn or is refused,
  // unless it is removed first.
  void Add(std::uint64_t number, Charges charges, TimePoint latest, const RedisAnswer& answer, Done done);

  // Removes a call here, if it is known: its `done` is destroyed. It still waits in Redis.
  void Remove(std::uint64_t number) { Take(number); }

  // The failure of an answer "limited".
  Failure Limited(const Charges& charges, const RedisAnswer& answer) const;

  // A time of Redis by the loop's clock.
  TimePoint Here(RedisTime time, RedisTime now) const;

 private:
  struct Waiting {
    Charges charges;
    TimePoint since;
    TimePoint latest;
    Done done;
  };
  struct Organization {
    std::size_t waiting = 0;   // at this replica
    std::size_t in_queue = 0;  // at all replicas
    TimePoint next{};          // when the first has its turn

    std::chrono::milliseconds Pause() const {
      const std::size_t replicas = std::max(in_queue, waiting) / std::max<std::size_t>(waiting, 1);
      return std::min<std::chrono::milliseconds>(kShortestPause * replicas, kLongestPause);
    }
  };
  struct Question {
    std::size_t read = 0;  // how many of `read_`
    std::vector<std::uint64_t> overdue;
    std::vector<std::string> organizations;
  };
  // A limit that is used up: its index among the charges, and until when.
  struct SpentCharge {
    std::size_t index;
    RedisTime until;
  };

  void ArmAsk();
  void Ask();
  void OnAnswer(const Question& question, const RedisAnswer& answer);
  void OnNews(const std::string& news, RedisTime now);
  // Nothing if the call has left.
  std::optional<Waiting> Take(std::uint64_t number);
  void Refuse(std::uint64_t number, const std::vector<SpentCharge>& spent, RedisTime now);
  Failure LimitedBy(const Charges& charges, const std::vector<SpentCharge>& spent, RedisTime now) const;

  loop::EventLoop& loop_;
  RedisSession& session_;
  const Observer& observer_;
  std::uint64_t last_number_ = 0;
  std::map<std::uint64_t, Waiting> waiting_;
  std::map<std::string, Organization, std::less<>> organizations_;
  std::vector<std::uint64_t> read_;  // calls whose news have arrived: Redis need not keep them
  bool asking_ = false;
  std::optional<loop::TimerId> ask_;
  TimePoint ask_at_{};  // of the timer
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
