#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/shares.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/ledger.h"
#include "daemon/state/memory/kept.h"
#include "daemon/state/notifier.h"
#include "daemon/state/quarantine.h"
#include "daemon/state/rate_limiter.h"
#include "daemon/state/state.h"

namespace tokend::state {

// The state of a single replica, in its memory: at most `requests.max_entries` request_ids, of which none is
// forgotten early to make room. Callers have fair shares of them (base/shares.h). Buckets are full at the
// start.
class MemoryState final : public State {
 public:
  // What a call gets if the outcome of its request_id is unknown: that outcome or, at a relay, the claim.
  enum class OnUnknown { kAnswer, kAskAgain };

  // `loop` outlives this.
  MemoryState(loop::EventLoop& loop, const config::Requests& options, const Observer& observer = {},
              OnUnknown on_unknown = OnUnknown::kAnswer);
  ~MemoryState() override;

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
  Status health() const override { return absl::OkStatus(); }
  Status quarantine() const override { return quarantine_.status(); }

  // Request_ids from before may be missing in what Restore adds: until `ends`, callers' request_ids that are
  // not known are refused. `why` is what is lost. Before the first call.
  void BeginQuarantine(TimePoint ends, std::string why);

  // How many request_ids are known.
  std::size_t entries() const { return ledger_.size(); }

 private:
  struct Entry {
    std::optional<RequestDigest> digest;  // absent: of an earlier run that recorded none
    bool asked_again = false;             // a call has asked again
    PackedTarget first;
    KeptOutcome outcome = {};
    TimePoint intended_at{};                           // when the first intent was recorded
    std::uint64_t intent = 0;                          // the first intent's sequence number
    std::unique_ptr<const Failure> unknown = nullptr;  // the outcome before, while a call asks again
    AdmitCalls joined = {};  // calls that wait for the outcome, in the order of arrival
  };

  // The call has claimed its request_id.
  void SpendFor(AdmitCall claimed);
  std::optional<Failure> MayBeForgotten(std::optional<std::chrono::nanoseconds> age) const;
  bool HasPlaceFor(const Admission& admission);
  bool MayAskAgain(const Entry& known, const Target& target) const;
  void EndWithoutOutcome(const std::string& request_id, Entry& known);
  void Remove(const std::string& request_id);
  void OnRemoved(std::string_view owner);
  void ReportEntries() const;

  const OnUnknown on_unknown_;
  const std::chrono::milliseconds remember_;
  Shares shares_;  // of the entries, by their owners
  const std::function<void(std::size_t)> on_entries_;
  Ledger<Entry> ledger_;
  Quarantine quarantine_;
  Notifier notifier_;
  RateLimiter limiter_;
};

}  // namespace tokend::state
