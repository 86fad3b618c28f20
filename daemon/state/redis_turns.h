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
#include "daemon/loop/event_loop.h"
#include "daemon/state/charges.h"
#include "daemon/state/observer.h"
#include "daemon/state/redis_session.h"

namespace tokend::state {

// The calls of this replica that wait in Redis for their turn. Whoever has some there asks again and again,
// and so moves all queues on, those of a replica that has died as well. Loop thread.
class RedisTurns {
 public:
  // A Failure is RATE_LIMITED.
  using Done = absl::AnyInvocable<void(SpendResult)>;

  // Between two questions: at least, and at most. The smaller the part of a queue that waits here, the rarer
  // the questions, so that many replicas together ask no more than a few.
  static constexpr std::chrono::milliseconds kShortestPause{5};
  static constexpr std::chrono::milliseconds kLongestPause{50};

  // All outlive this.
  RedisTurns(loop::EventLoop& loop, RedisSession& session, const Observer& observer);
  ~RedisTurns();
  RedisTurns(const RedisTurns&) = delete;
  RedisTurns& operator=(const RedisTurns&) = delete;

  // A new name for one that may come to wait.
  std::uint64_t NewNumber() { return ++last_number_; }

  // It waits, says this answer ("waits"). `done` is called when it no longer does, unless it is taken out
  // first.
  void Add(std::uint64_t number, Charges charges, TimePoint latest, const RedisAnswer& answer, Done done);

  // Takes it out here, with its charges. It still waits in Redis.
  Charges Remove(std::uint64_t number);

  // What an answer says of spent limits, in pairs of index and time from `first` on.
  Failure Limited(const Charges& charges, const RedisAnswer& answer, std::size_t first) const;

  // A time of Redis's, by the loop's clock.
  TimePoint Here(std::int64_t time, const RedisAnswer& answer) const;

 private:
  struct Waiting {
    Charges charges;
    TimePoint since;
    TimePoint latest;
    Done done;
  };
  struct Organization {
    std::size_t waiting = 0;   // of this replica
    std::size_t in_queue = 0;  // of all
    TimePoint next{};          // turn of the first

    std::chrono::milliseconds Pause() const {
      const std::size_t replicas = std::max(in_queue, waiting) / std::max<std::size_t>(waiting, 1);
      return std::min<std::chrono::milliseconds>(kShortestPause * replicas, kLongestPause);
    }
  };

  void ArmAsk();
  void Ask();
  struct Question {
    std::vector<std::uint64_t> read;
    std::vector<std::uint64_t> overdue;
    std::vector<std::string> organizations;
  };
  void OnAnswer(const Question& question, const RedisAnswer& answer);
  void OnQueues(const Question& question, const RedisAnswer& answer);
  void OnNews(const std::string& news, const RedisAnswer& answer);
  void Tell(std::uint64_t number, bool granted, const std::vector<std::int64_t>& times,
            const RedisAnswer& answer);
  Failure LimitedBy(const Charges& charges, const std::vector<std::int64_t>& spent, std::int64_t now) const;

  loop::EventLoop& loop_;
  RedisSession& session_;
  const Observer& observer_;
  std::uint64_t last_number_ = 0;
  std::map<std::uint64_t, Waiting> waiting_;
  std::map<std::string, Organization, std::less<>> organizations_;
  std::vector<std::uint64_t> read_;  // of whom Redis need not tell again
  bool asking_ = false;
  std::optional<loop::TimerId> ask_;
  TimePoint ask_at_{};  // where there is one
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
