#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "daemon/state/charges.h"
#include "daemon/state/state.h"

// A plain model of what the state promises: lists that are searched from end to end, and token buckets by
// their definition. It is slow, and simple enough to be checked by reading.
namespace tokend::state::model {

using std::chrono::nanoseconds;

// What a call came to.
struct Seen {
  enum class Kind { kFresh, kAnswered, kFailed } kind;
  std::uint64_t answer = 0;  // the intent that it carries
  SpentHere spent = {};
  Reason reason = {};
  std::optional<std::chrono::milliseconds> retry_after = {};
  std::vector<std::string> subjects = {};
  std::optional<std::uint64_t> audit_sequence = {};

  bool operator==(const Seen& other) const {
    return kind == other.kind && answer == other.answer && spent.own == other.spent.own &&
           spent.organization == other.spent.organization && reason == other.reason &&
           retry_after == other.retry_after && subjects == other.subjects &&
           audit_sequence == other.audit_sequence;
  }
};

inline std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  out << "kind " << static_cast<int>(seen.kind) << ", answer " << seen.answer << ", spent "
      << seen.spent.own.time_since_epoch().count() << " "
      << seen.spent.organization.time_since_epoch().count();
  if (seen.kind == Seen::Kind::kFailed) out << ", reason " << Name(seen.reason);
  if (seen.retry_after) out << ", retry after " << seen.retry_after->count() << " ms";
  for (const std::string& subject : seen.subjects) out << ", " << subject;
  return out;
}

inline Seen Failed(const Failure& failure) {
  Seen seen{.kind = Seen::Kind::kFailed, .reason = failure.reason, .retry_after = failure.retry_after};
  for (const QuotaViolation& violation : failure.quotas) seen.subjects.push_back(violation.subject);
  seen.audit_sequence = failure.audit_sequence;
  return seen;
}

// A token bucket. It fills by one drop a nanosecond, up to a burst of tokens; a token is as many drops as
// there are nanoseconds in its interval.
class Bucket {
 public:
  explicit Bucket(const Rate& rate)
      : token_(rate.interval().count()), full_(rate.burst() * rate.interval().count()) {}

  // What is in it.
  std::int64_t DropsAt(TimePoint now) const {
    std::int64_t drops = full_;
    TimePoint at;
    for (const auto& [change_at, change] : changes_) {
      drops = std::min(full_, drops + (change_at - at).count());
      drops = std::min(full_, drops + change);
      at = change_at;
    }
    return std::min(full_, drops + (now - at).count());
  }
  bool HasToken(TimePoint now) const { return DropsAt(now) >= token_; }

  // When one can be had, where `ahead` others take theirs before, each as soon as there is one.
  TimePoint Earliest(TimePoint now, std::size_t ahead) const {
    std::int64_t drops = DropsAt(now);
    for (std::size_t taken = 0; taken <= ahead; ++taken) {
      if (drops < token_) {
        now += nanoseconds(token_ - drops);
        drops = token_;
      }
      drops -= token_;
    }
    return now;
  }
  TimePoint FullAt(TimePoint now) const { return now + nanoseconds(full_ - DropsAt(now)); }

  void Take(TimePoint now) { Change(now, -token_); }
  // What has not dripped in again since it was taken.
  void GiveBack(TimePoint taken_at, TimePoint now) {
    Change(now, std::max<std::int64_t>(token_ - (now - taken_at).count(), 0));
  }

  std::int64_t token() const { return token_; }
  std::int64_t full() const { return full_; }

 private:
  void Change(TimePoint now, std::int64_t drops) {
    if (DropsAt(now) == full_) changes_.clear();
    changes_.emplace_back(now, drops);
  }

  std::int64_t token_;
  std::int64_t full_;
  std::vector<std::pair<TimePoint, std::int64_t>> changes_;  // since it was full
};

// Who waits for an organization's limits.
struct Waiter {
  int call = 0;
  std::string grant;
  std::string caller;
  TimePoint since;
  TimePoint latest;
  std::uint64_t tag = 0;  // within its grant
  std::uint64_t arrival = 0;
};

// Start-time fair queueing of grants, and of the callers of each grant.
class Queue {
 public:
  void Push(Waiter waiter) {
    Line& line = lines_[waiter.grant];
    if (line.waiting++ == 0) {
      line.next = std::max(line.next, served_);
      line.since = arrivals_;
    }
    waiter.tag = line.TagOf(waiter.caller);
    waiter.arrival = arrivals_++;
    line.next_of_caller[waiter.caller] = waiter.tag + 1;
    waiting_.push_back(std::move(waiter));
  }
  // All who wait, in the order in which they would be served.
  std::vector<const Waiter*> Order() const {
    std::vector<const Waiter*> order;
    for (const Waiter& waiter : waiting_) order.push_back(&waiter);
    const auto within = [](const Waiter* one, const Waiter* other) {
      return std::pair(one->tag, one->arrival) < std::pair(other->tag, other->arrival);
    };
    std::sort(order.begin(), order.end(), within);
    std::map<std::string, std::uint64_t> turns;  // of each grant, its next one's tag
    std::map<const Waiter*, std::pair<std::uint64_t, std::uint64_t>> at;
    for (const Waiter* waiter : order) {
      const Line& line = lines_.at(waiter->grant);
      at[waiter] = {turns.try_emplace(waiter->grant, line.next).first->second++, line.since};
    }
    std::sort(order.begin(), order.end(),
              [&at](const Waiter* one, const Waiter* other) { return at.at(one) < at.at(other); });
    return order;
  }
  std::size_t AheadOfNext(const std::string& grant, const std::string& caller) const {
    static const Line kNone;
    const auto known = lines_.find(grant);
    const Line& own = known == lines_.end() ? kNone : known->second;
    const std::uint64_t tag = own.TagOf(caller);
    const auto before =
        static_cast<std::size_t>(std::count_if(waiting_.begin(), waiting_.end(), [&](const Waiter& waiter) {
          return waiter.grant == grant && waiter.tag <= tag;
        }));
    const bool waits = own.waiting > 0;
    const std::pair turn(waits ? own.next + before : std::max(own.next, served_),
                         waits ? own.since : arrivals_);
    std::size_t ahead = before;
    for (const auto& [name, line] : lines_) {
      for (std::size_t i = 0; name != grant && i < line.waiting; ++i) {
        if (std::pair(line.next + i, line.since) < turn) ++ahead;
      }
    }
    return ahead;
  }
  std::size_t AheadOf(int call) const {
    const std::vector<const Waiter*> order = Order();
    const auto own = std::find_if(order.begin(), order.end(),
                                  [call](const Waiter* waiter) { return waiter->call == call; });
    return static_cast<std::size_t>(own - order.begin());
  }
  const Waiter* First() const {
    const Line* first_line = nullptr;
    const std::string* grant = nullptr;
    for (const auto& [name, line] : lines_) {
      if (line.waiting == 0) continue;
      if (first_line != nullptr &&
          std::pair(first_line->next, first_line->since) < std::pair(line.next, line.since)) {
        continue;
      }
      first_line = &line;
      grant = &name;
    }
    const Waiter* first = nullptr;
    for (const Waiter& waiter : waiting_) {
      if (waiter.grant == *grant && (first == nullptr || waiter.tag < first->tag)) first = &waiter;
    }
    return first;
  }
  // Whose call gives way if a call of this caller comes: the newest of the caller with the most of the grant
  // with the most, where the one that comes counts. Nothing: it is that call itself.
  std::optional<Waiter> GivesWay(const std::string& grant, const std::string& caller) const {
    std::string most_grant = grant;
    const auto own = lines_.find(grant);
    std::size_t most = own == lines_.end() ? 1 : own->second.waiting + 1;
    for (const auto& [name, line] : lines_) {
      if (name == grant || line.waiting <= most) continue;
      most_grant = name;
      most = line.waiting;
    }
    std::map<std::string, std::size_t> calls;
    if (most_grant == grant) ++calls[caller];
    for (const Waiter& waiter : waiting_) {
      if (waiter.grant == most_grant) ++calls[waiter.caller];
    }
    std::size_t most_calls = 0;
    for (const auto& [name, count] : calls) most_calls = std::max(most_calls, count);
    if (most_grant == grant && calls[caller] == most_calls) return std::nullopt;
    std::optional<Waiter> newest;
    for (const Waiter& waiter : waiting_) {
      if (waiter.grant != most_grant || calls[waiter.caller] != most_calls) continue;
      if (!newest || newest->tag <= waiter.tag) newest = waiter;
    }
    return newest;
  }
  Waiter Serve(int call) {
    Waiter served = Remove(call);
    Line& line = lines_.at(served.grant);
    served_ = std::max(served_, line.next++);
    line.served = std::max(line.served, served.tag);
    ForgetEven();
    return served;
  }
  // As if it had never come: its caller's later calls move up.
  Waiter Drop(int call) {
    Waiter dropped = Remove(call);
    for (Waiter& waiter : waiting_) {
      if (waiter.grant == dropped.grant && waiter.caller == dropped.caller && waiter.tag > dropped.tag) {
        --waiter.tag;
      }
    }
    --lines_.at(dropped.grant).next_of_caller[dropped.caller];
    ForgetEven();
    return dropped;
  }
  bool Holds(int call) const {
    return std::any_of(waiting_.begin(), waiting_.end(),
                       [call](const Waiter& waiter) { return waiter.call == call; });
  }
  const std::vector<Waiter>& waiting() const { return waiting_; }

 private:
  struct Line {
    std::map<std::string, std::uint64_t> next_of_caller;
    std::uint64_t served = 0;
    std::uint64_t next = 0;
    std::uint64_t since = 0;
    std::size_t waiting = 0;

    std::uint64_t TagOf(const std::string& caller) const {
      const auto next_tag = next_of_caller.find(caller);
      return next_tag == next_of_caller.end() ? served : std::max(next_tag->second, served);
    }
  };

  Waiter Remove(int call) {
    const auto at = std::find_if(waiting_.begin(), waiting_.end(),
                                 [call](const Waiter& waiter) { return waiter.call == call; });
    Waiter removed = std::move(*at);
    waiting_.erase(at);
    --lines_.at(removed.grant).waiting;
    return removed;
  }
  void ForgetEven() {
    if (waiting_.empty()) served_ = 0;
    std::erase_if(lines_, [this](const auto& line) {
      return waiting_.empty() || (line.second.waiting == 0 && line.second.next <= served_);
    });
    for (auto& [grant, line] : lines_) {
      if (line.waiting > 0) continue;
      line.next_of_caller.clear();
      line.served = 0;
    }
  }

  std::vector<Waiter> waiting_;  // in order of arrival
  std::map<std::string, Line> lines_;
  std::uint64_t served_ = 0;
  std::uint64_t arrivals_ = 0;
};

struct Call {
  int number = 0;
  std::string request_id;
  RequestDigest digest = {};
  Charges charges;
  TimePoint latest;
};

// The whole state. What calls come to is in `ended`.
class Reference {
 public:
  Reference(const config::Requests& options, std::size_t most_waiting)
      : options_(options), most_waiting_(most_waiting) {}

  std::map<int, Seen> ended;
  std::uint64_t displaced = 0;  // calls that others' took the place of

  // Lets time pass until `now`, with all that happens on the way, each at its time.
  void AdvanceTo(TimePoint now) {
    while (const std::optional<TimePoint> next = NextEvent()) {
      if (*next > now) break;
      now_ = std::max(now_, *next);
      ServeAll();
      RefuseOverdue();
    }
    now_ = now;
  }
  TimePoint now() const { return now_; }
  void StartAt(TimePoint now) { now_ = now; }

  void Admit(const Call& call) {
    calls_[call.number] = call;
    ForgetExpired();
    const auto known = entries_.find(call.request_id);
    if (known != entries_.end()) {
      Entry& entry = known->second;
      if (entry.digest != call.digest) return End(call.number, Failed({.reason = Reason::kRequestIdReused}));
      if (entry.outcome) return End(call.number, *entry.outcome);
      entry.joined.push_back(call.number);
      return;
    }
    if (entries_.size() >= options_.max_entries) {
      Failure full{.reason = Reason::kOverloaded};
      std::optional<TimePoint> first;
      for (const auto& [id, entry] : entries_) {
        if (entry.outcome && (!first || entry.expires_at < *first)) first = entry.expires_at;
      }
      if (first) full.retry_after = std::chrono::ceil<std::chrono::milliseconds>(*first - now_);
      return End(call.number, Failed(full));
    }
    entries_[call.request_id] = Entry{call.digest, call.number, std::nullopt, {}, {}};
    SpendFor(call.number, true);
  }

  // Of an admitted call, for another attempt.
  void Spend(int call, TimePoint latest) {
    calls_[call].latest = latest;
    SpendFor(call, false);
  }

  void Leave(int call) {
    const std::string id = calls_[call].request_id;
    for (auto& [name, queue] : queues_) {
      if (!queue.Holds(call)) continue;
      const Waiter left = queue.Drop(call);
      GiveBackAll(calls_[call].charges.own, left.since);
      return Abandon(id);
    }
    const auto known = entries_.find(id);
    if (known != entries_.end()) std::erase(known->second.joined, call);
  }

  void GiveBack(int call, const SpentHere& spent) {
    GiveBackAll(calls_[call].charges.own, spent.own);
    GiveBackAll(calls_[call].charges.organization, spent.organization);
  }

  std::optional<Seen> Check(const Charges& charges, TimePoint latest) { return Refusal(charges, latest); }
  TimePoint FullAt(const Charge& charge) { return BucketOf(charge).FullAt(now_); }

  void Settle(const std::string& id, Seen outcome, TimePoint intended_at) {
    Entry& entry = entries_.at(id);
    const std::vector<int> joined = std::exchange(entry.joined, {});
    for (const int call : joined) End(call, outcome);
    entry.outcome = std::move(outcome);
    entry.expires_at = intended_at + options_.remember;
    forgot_at_ = {};
    ForgetExpired();
  }
  void Refuse(const std::string& id, const Seen& failure) {
    const auto known = entries_.find(id);
    for (const int call : known->second.joined) End(call, failure);
    entries_.erase(known);
  }
  void Amend(const std::string& id, const std::optional<Seen>& answered, TimePoint intended_at) {
    ForgetExpired();
    const auto known = entries_.find(id);
    if (known == entries_.end() || !known->second.outcome) return;
    if (known->second.expires_at != intended_at + options_.remember) return;
    if (answered) {
      known->second.outcome = answered;
    } else {
      entries_.erase(known);
    }
  }
  void Abandon(const std::string& id) {
    const auto known = entries_.find(id);
    if (known->second.joined.empty()) {
      entries_.erase(known);
      return;
    }
    const int heir = known->second.joined.front();
    known->second.joined.erase(known->second.joined.begin());
    known->second.claimant = heir;
    SpendFor(heir, true);
  }

  struct Entry {
    RequestDigest digest = {};
    int claimant = 0;
    std::optional<Seen> outcome;  // none: it runs
    TimePoint expires_at;         // of an outcome
    std::vector<int> joined;
  };

  // The memory is lost, but for what is known again from elsewhere: limits are full, and nobody waits.
  void Restart(std::map<std::string, Entry> restored) {
    entries_ = std::move(restored);
    forgot_at_ = {};
    buckets_.clear();
    queues_.clear();
    calls_.clear();
  }

  const std::map<std::string, Entry>& entries() const { return entries_; }
  std::size_t waiting() const {
    std::size_t waiting = 0;
    for (const auto& [name, queue] : queues_) waiting += queue.waiting().size();
    return waiting;
  }
  // When the next of all who wait has its turn.
  std::optional<TimePoint> NextTurn() {
    std::optional<TimePoint> next;
    for (auto& [name, queue] : queues_) {
      if (const Waiter* first = queue.First()) {
        const TimePoint turn = TurnOf(calls_[first->call].charges.organization, 0);
        next = std::min(next.value_or(turn), turn);
      }
    }
    return next;
  }
  void Forget(int call) { calls_.erase(call); }

 private:
  Bucket& BucketOf(const Charge& charge) {
    return buckets_.try_emplace(charge.key, charge.rate).first->second;
  }

  void End(int call, Seen seen) { ended.emplace(call, std::move(seen)); }

  void TakeAll(const std::vector<Charge>& charges) {
    for (const Charge& charge : charges) BucketOf(charge).Take(now_);
  }
  void GiveBackAll(const std::vector<Charge>& charges, TimePoint taken_at) {
    for (const Charge& charge : charges) BucketOf(charge).GiveBack(taken_at, now_);
  }

  // When one who has so many ahead gets a token of each: each of them takes one of each, as soon as all are
  // there.
  TimePoint TurnOf(const std::vector<Charge>& charges, std::size_t ahead) {
    struct Level {
      std::int64_t token, full, drops;
    };
    std::vector<Level> levels;
    for (const Charge& charge : charges) {
      const Bucket& bucket = BucketOf(charge);
      levels.push_back({bucket.token(), bucket.full(), bucket.DropsAt(now_)});
    }
    TimePoint turn = now_;
    for (std::size_t taken = 0; taken <= ahead; ++taken) {
      std::int64_t wait = 0;
      for (const Level& level : levels) wait = std::max(wait, level.token - level.drops);
      turn += nanoseconds(wait);
      for (Level& level : levels) level.drops = std::min(level.full, level.drops + wait) - level.token;
    }
    return turn;
  }

  void AddSpent(const std::vector<Charge>& charges, std::size_t ahead, Failure& failure, TimePoint& until) {
    for (const Charge& charge : charges) {
      const TimePoint earliest = BucketOf(charge).Earliest(now_, ahead);
      if (earliest <= now_) continue;
      failure.quotas.push_back({charge.subject, {}});
      until = std::max(until, earliest);
    }
  }
  Seen RateLimitedBy(const Charges& charges, std::size_t ahead, bool own, bool organization) {
    Failure failure{.reason = Reason::kRateLimited};
    TimePoint until = now_;
    if (own) AddSpent(charges.own, 0, failure, until);
    if (organization) {
      AddSpent(charges.organization, ahead, failure, until);
      if (failure.quotas.empty()) failure.quotas.push_back({charges.organization.front().subject, {}});
    }
    failure.retry_after = std::chrono::ceil<std::chrono::milliseconds>(until - now_);
    return Failed(failure);
  }

  bool MustWait(const Charges& charges) {
    if (charges.organization.empty()) return false;
    if (!queues_[charges.organization_name].waiting().empty()) return true;
    return std::any_of(charges.organization.begin(), charges.organization.end(),
                       [this](const Charge& charge) { return !BucketOf(charge).HasToken(now_); });
  }
  std::optional<Seen> Refusal(const Charges& charges, TimePoint latest) {
    const Queue& queue = queues_[charges.organization_name];
    const std::size_t ahead = queue.AheadOfNext(charges.grant, charges.caller);
    const bool waits = MustWait(charges);
    const bool own_spent = std::any_of(charges.own.begin(), charges.own.end(), [this](const Charge& charge) {
      return !BucketOf(charge).HasToken(now_);
    });
    if (!own_spent) {
      if (!waits) return std::nullopt;
      const bool full =
          queue.waiting().size() >= most_waiting_ && !queue.GivesWay(charges.grant, charges.caller);
      if (!full && TurnOf(charges.organization, ahead) <= latest) return std::nullopt;
    }
    return RateLimitedBy(charges, ahead, true, waits);
  }

  // A claim ends with a refusal of its first attempt.
  void SpendFor(int number, bool claims) {
    const Call& call = calls_[number];
    const Charges& charges = call.charges;
    if (const std::optional<Seen> refusal = Refusal(charges, call.latest)) {
      End(number, *refusal);
      if (claims) Refuse(call.request_id, *refusal);
      return;
    }
    const bool waits = MustWait(charges);
    TakeAll(charges.own);
    if (!waits) {
      TakeAll(charges.organization);
      return End(number, {.kind = Seen::Kind::kFresh, .spent = {now_, now_}});
    }
    claims_.erase(number);
    if (claims) claims_.emplace(number, true);
    Queue& queue = queues_[charges.organization_name];
    std::optional<Waiter> last;
    if (queue.waiting().size() >= most_waiting_) {
      last = queue.Drop(queue.GivesWay(charges.grant, charges.caller)->call);
    }
    queue.Push({number, charges.grant, charges.caller, now_, call.latest});
    if (!last) return;
    ++displaced;
    RefuseWaiter(*last, queue.waiting().size());
  }

  void RefuseWaiter(const Waiter& waiter, std::size_t ahead) {
    const Call& call = calls_[waiter.call];
    GiveBackAll(call.charges.own, waiter.since);
    const Seen refusal = RateLimitedBy(call.charges, ahead, false, true);
    End(waiter.call, refusal);
    if (claims_.erase(waiter.call) > 0) Refuse(call.request_id, refusal);
  }

  std::optional<TimePoint> NextEvent() {
    std::optional<TimePoint> next = NextTurn();
    for (const auto& [name, queue] : queues_) {
      for (const Waiter& waiter : queue.waiting())
        next = std::min(next.value_or(waiter.latest), waiter.latest);
    }
    return next;
  }
  void ServeAll() {
    for (auto& [name, queue] : queues_) {
      while (const Waiter* first = queue.First()) {
        const std::vector<Charge>& charges = calls_[first->call].charges.organization;
        if (TurnOf(charges, 0) > now_) break;
        TakeAll(charges);
        claims_.erase(first->call);
        End(first->call, {.kind = Seen::Kind::kFresh, .spent = {first->since, now_}});
        queue.Serve(first->call);
      }
    }
  }
  void RefuseOverdue() {
    for (auto& [name, queue] : queues_) {
      while (true) {
        const std::vector<Waiter>& waiting = queue.waiting();
        const auto overdue = std::find_if(waiting.begin(), waiting.end(),
                                          [this](const Waiter& waiter) { return waiter.latest <= now_; });
        if (overdue == waiting.end()) break;
        const std::size_t ahead = queue.AheadOf(overdue->call);
        RefuseWaiter(queue.Drop(overdue->call), ahead);
      }
    }
  }

  void ForgetExpired() {
    if (forgot_at_ == now_) return;
    forgot_at_ = now_;
    std::erase_if(entries_, [this](const auto& entry) {
      return entry.second.outcome && entry.second.expires_at <= now_;
    });
  }

  const config::Requests options_;
  const std::size_t most_waiting_;
  TimePoint now_;
  std::map<std::string, Entry> entries_;
  TimePoint forgot_at_;  // when what has expired was last looked for
  std::map<LimitKey, Bucket> buckets_;
  std::map<std::string, Queue> queues_;
  std::map<int, Call> calls_;   // that have not come to their end
  std::map<int, bool> claims_;  // of those who wait in a queue: who loses a claim with its place
};

}  // namespace tokend::state::model
