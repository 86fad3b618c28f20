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
#include "daemon/state/charges.h"
#include "daemon/state/fair_queue.h"
#include "daemon/state/limit_table.h"
#include "daemon/state/observer.h"

namespace tokend::state {

// How many calls may wait for their turn at an organization's limits.
inline constexpr std::size_t kMaxWaitingForTurn = 256;

// The limits of one replica, in its memory, and the queues of those who wait for an organization's. Loop
// thread only.
class RateLimiter {
 public:
  // A Failure is RATE_LIMITED, or OVERLOADED where there are too many buckets.
  using Done = absl::AnyInvocable<void(SpendResult)>;

  explicit RateLimiter(loop::EventLoop& loop, Observer observer = {},
                       std::size_t max_buckets = LimitTable::kMaxBuckets);
  ~RateLimiter();
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  // Spends all charges, or none. Calls `done` exactly once: at once, or, where the organization's limits
  // alone are spent or others wait for them, when its turn has come; or when it could no longer come by
  // `latest`; or when 256 wait and callers that have had less need the place. `waiter` tells those who wait
  // apart, and is not looked at.
  void Spend(Charges charges, TimePoint latest, const void* waiter, Done done);

  // Whether it waited; then it no longer does, its `done` is destroyed uncalled, and nothing is spent.
  bool Leave(const void* waiter);

  // Puts back what was spent, as far as it has not grown back since.
  void GiveBack(const Charges& charges, Spent spent);

  // What Spend would refuse at once with.
  std::optional<Failure> Refusal(const Charges& charges, TimePoint latest) const;

  // When each bucket will be full.
  std::vector<TimePoint> FullAt(const std::vector<Charge>& charges) const;

  const LimitTable& buckets() const { return buckets_; }

 private:
  struct Waiting {
    Charges charges;
    TimePoint since;  // its own charges are spent
    TimePoint latest;
    const void* waiter;
    loop::TimerId overdue;
    Done done;
  };
  using Queue = FairQueue<Waiting>;
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
  TimePoint TurnOf(const std::vector<Charge>& charges, std::size_t ahead, TimePoint now) const;
  std::vector<SpentLimit> SpentBy(const std::vector<Charge>& charges, std::size_t ahead, TimePoint now) const;
  void Take(const std::vector<Charge>& charges, TimePoint now);
  void PutBack(const std::vector<Charge>& charges, TimePoint spent_at, TimePoint now);

  void Wait(Charges charges, TimePoint latest, const void* waiter, Done done);
  void Serve(Organization& organization);
  void Grant(Organization& organization, TimePoint now);
  void ArmNext(Organization& organization);
  void OnOverdue(const void* waiter);
  void Dismiss(const void* waiter);
  // Refuses who has left the queue.
  void Refuse(Waiting waiting, std::size_t ahead);
  void Forget(const Waiting& waiting);
  void Tell(const Charges& charges, const Organization& organization) const;

  loop::EventLoop& loop_;
  const Observer observer_;
  LimitTable buckets_;
  std::map<std::string, Organization, std::less<>> organizations_;  // that had a queue once
  absl::flat_hash_map<const void*, WaitsAt> waiting_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
