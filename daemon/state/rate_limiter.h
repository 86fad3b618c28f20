#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/grouped_queue.h"
#include "daemon/state/limit_table.h"
#include "daemon/state/state.h"

namespace tokend::state {

// How many calls may wait for their turn at an organization's limits.
inline constexpr std::size_t kMaxWaitingForTurn = 256;

// The limits of one replica in its memory, and the queues of the calls that wait for an organization's
// limits. Loop thread only.
class RateLimiter {
 public:
  // A Failure is RATE_LIMITED, or OVERLOADED if there are too many buckets; a Spent is a SpentHere.
  using Done = absl::AnyInvocable<void(SpendResult)>;

  explicit RateLimiter(loop::EventLoop& loop, Observer observer = {},
                       std::size_t max_buckets = LimitTable::kMaxBuckets);
  ~RateLimiter();
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  // Spends all charges or none, and calls `done` exactly once: at once; or, if only the organization's limits
  // are used up or others wait for them, when the call's turn comes, when it can no longer come by `latest`,
  // or when 256 calls wait and one of a grant or caller with fewer of them needs the place. `waiter`
  // identifies the call, and is not dereferenced.
  void Spend(Charges charges, TimePoint latest, const void* waiter, Done done);

  // Takes a call out of its queue: its `done` is destroyed uncalled, and its charges are given back. False if
  // it does not wait.
  bool Leave(const void* waiter);

  // Gives back what was spent, less what has grown back since.
  void GiveBack(const Charges& charges, SpentHere spent);

  // The failure with which Spend would refuse at once.
  std::optional<Failure> Refusal(const Charges& charges, TimePoint latest) const;

  // When each bucket will be full.
  std::vector<TimePoint> FullAt(const std::vector<Charge>& charges) const;

  const LimitTable& buckets() const { return buckets_; }

 private:
  struct Waiting {
    Charges charges;
    TimePoint since;  // when its own charges were spent
    TimePoint latest;
    const void* waiter;
    loop::TimerId overdue;
    Done done;
  };
  using Queue = GroupedQueue<Waiting>;  // of grants
  struct Organization {
    Queue queue;
    std::optional<loop::TimerId> next;
  };
  struct WaitsAt {
    Organization* organization;
    Queue::Place place;
  };

  const Organization* Find(const std::string& organization) const;
  bool MustWait(const Charges& charges, const Organization* organization, TimePoint now) const;
  TimePoint TurnOf(const Charge& charge, std::size_t ahead, TimePoint now) const;
  TimePoint TurnOf(const std::vector<Charge>& charges, std::size_t ahead, TimePoint now) const;
  void AddSpent(std::vector<SpentLimit>& spent, const std::vector<Charge>& charges, std::size_t ahead,
                TimePoint now) const;
  void Take(const std::vector<Charge>& charges, TimePoint now);
  void PutBack(const std::vector<Charge>& charges, TimePoint spent_at, TimePoint now);

  void Wait(Charges charges, TimePoint latest, const void* waiter, Done done);
  void Serve(Organization& organization);
  void Grant(Organization& organization, TimePoint now);
  void ArmNext(Organization& organization);
  void OnOverdue(const void* waiter);
  void Dismiss(const void* waiter);
  // Of a call that was taken out of the queue.
  void Refuse(Waiting waiting, const Organization& organization, std::size_t ahead);
  void Withdraw(const Waiting& waiting, const Organization& organization);
  void Forget(const Waiting& waiting);
  void ReportQueue(const Charges& charges, const Organization& organization) const;

  loop::EventLoop& loop_;
  const Observer observer_;
  LimitTable buckets_;
  std::map<std::string, Organization, std::less<>> organizations_;  // all that ever had a queue
  absl::flat_hash_map<const void*, WaitsAt> waiting_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
