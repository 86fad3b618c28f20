#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/block.h"
#include "daemon/base/token_outcome.h"
#include "daemon/telemetry/frequent_names.h"

namespace tokend::telemetry {

using WallTime = std::chrono::system_clock::time_point;

enum class CallEnd {
  kServed,
  kRefused,    // the daemon refused the call before it asked the upstream
  kFailed,     // any other error: the daemon or the upstream could not serve the call
  kCancelled,  // the caller did not wait for the answer
};

// A call that has ended. The texts are names and the daemon's own words.
struct EndedCall {
  CallEnd end = CallEnd::kServed;
  std::string_view listener = {};
  std::string_view caller = {};  // empty: unknown
  std::string_view peer = {};    // without its port
  std::string_view reason = {};
  std::string_view detail = {};
  // How long a served CreateToken call took. Nothing for other calls.
  std::optional<std::chrono::nanoseconds> duration = {};
};

// The calls that ended within one minute.
struct Minute {
  WallTime begin{};
  std::uint64_t served = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  // How long served requests for a token took; nothing if there was none. The median and the 99th percentile
  // are at most 26 % too high.
  struct Latency {
    std::chrono::microseconds median{0};
    std::chrono::microseconds percentile_99{0};
    std::chrono::microseconds longest{0};
  };
  std::optional<Latency> latency = {};
};

// Calls that got the same error.
struct RefusedCalls {
  std::string listener;
  std::string caller;
  std::string peer;  // the address; empty: the calls of a known caller came from several
  std::string reason;
  std::string detail;
  WallTime first{};
  WallTime last{};
  std::uint64_t count = 0;

  bool IsOf(const EndedCall& call) const {
    return reason == call.reason && caller == call.caller && (!caller.empty() || peer == call.peer) &&
           listener == call.listener && detail == call.detail;
  }
};

// A token that may exist although nobody has got it.
struct UnaccountedToken {
  TokenOutcome outcome = TokenOutcome::kUnknown;  // or kWithheld
  std::string request_id;
  std::string caller;
  std::string organization;
  std::string application;
};

struct BusyCaller {
  std::string name;
  CallCounts counts;
};

// The last block of one kind that an organization had.
struct PastBlock {
  Block block{};
  WallTime began{};
  std::optional<WallTime> ended = {};  // nothing: it lasts
  std::string cause = {};              // in fixed words
};

// Whether the central tokend of a relay can be reached, as its latest calls say.
struct Reach {
  bool reachable = false;
  std::string cause;  // of the last failure, in fixed words
  WallTime since{};
};

// What the status page shows of the last hour and since the start, in bounded memory. Any thread. Each report
// holds a lock for no longer than it takes to copy a few texts.
class RecentActivity {
 public:
  static constexpr std::size_t kMinutes = 60;
  static constexpr std::size_t kMaxRefusals = 50;
  static constexpr std::size_t kMaxUnaccounted = 100;
  static constexpr std::size_t kMaxBusyCallers = 20;
  static constexpr std::size_t kMaxCountedCallers = 500;  // in each of two periods
  static constexpr std::chrono::minutes kCallerPeriod{30};
  static constexpr std::size_t kMaxOrganizations = 1000;  // only those that have been blocked

  struct Report {
    std::vector<Minute> minutes;  // those with calls, oldest first; the last one may still run
    WallTime callers_since{};
    std::vector<BusyCaller> callers;     // the busiest first
    std::uint64_t callers_missed = 0;    // by how much their counts may be too low
    std::vector<RefusedCalls> refusals;  // the latest first
    std::uint64_t unaccounted_count = 0;
    struct Unaccounted {
      UnaccountedToken token;
      WallTime time;
    };
    std::vector<Unaccounted> unaccounted;                  // the latest first
    std::map<std::string, std::vector<PastBlock>> blocks;  // by organization
    std::optional<Reach> centre;
  };

  explicit RecentActivity(WallTime now = std::chrono::system_clock::now())
      : period_since_(now), callers_since_(now) {}

  void CallEnded(const EndedCall& call, WallTime now = std::chrono::system_clock::now());
  void TokenUnaccounted(UnaccountedToken token, WallTime now = std::chrono::system_clock::now());
  void BlockChanged(const std::string& organization, Block block, bool blocked, const std::string& cause,
                    WallTime now = std::chrono::system_clock::now());
  // An empty `cause` leaves the last cause as it is.
  void CentreReached(bool reachable, std::string_view cause = {},
                     WallTime now = std::chrono::system_clock::now());

  Report Get(WallTime now = std::chrono::system_clock::now()) const;

 private:
  // Latencies are counted in buckets, ten for each power of ten from 0.1 ms on.
  static constexpr std::size_t kLatencyBuckets = 61;
  struct Slot {
    Minute minute;
    std::array<std::uint32_t, kLatencyBuckets> latencies = {};
    std::chrono::microseconds longest{0};
  };

  static std::size_t BucketOf(std::chrono::nanoseconds duration);
  static std::optional<Minute::Latency> LatencyOf(const Slot& slot);

  Slot& SlotAt(WallTime now);
  void CountCaller(const EndedCall& call, WallTime now);
  void AddRefusal(const EndedCall& call, WallTime now);
  void AddBusyCallers(Report& report) const;

  mutable std::mutex mutex_;  // guards all members below
  std::array<Slot, kMinutes> slots_ = {};
  std::array<FrequentNames, 2> callers_ = {FrequentNames(kMaxCountedCallers),
                                           FrequentNames(kMaxCountedCallers)};
  std::size_t period_ = 0;                       // the index in callers_ that counts now
  WallTime period_since_;                        // when that one began
  WallTime callers_since_;                       // when the other one began
  std::deque<RefusedCalls> refusals_;            // the latest first
  std::deque<Report::Unaccounted> unaccounted_;  // the latest first
  std::uint64_t unaccounted_count_ = 0;
  std::map<std::string, std::vector<PastBlock>> blocks_;
  std::optional<Reach> centre_;
};

}  // namespace tokend::telemetry
