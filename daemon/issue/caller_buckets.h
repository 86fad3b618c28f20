#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "daemon/base/failure.h"
#include "daemon/state/limit_table.h"

namespace tokend::issue {

// Limits of what a caller can ask for without spending a limit of its grants, so that it cannot fill the
// audit log. No key of the configuration changes them. They are this replica's own. Loop thread only.
// - Checks, which are `validate_only` and GetCaller: 200 at once, 10 a second.
// - Replays: 10 a second, and besides these two for each token that was issued to the caller, of which it may
//   have 1,000 together. Calls that join a running one cost nothing.
class CallerBuckets {
 public:
  static constexpr std::size_t kMaxEarned = 1000;  // replays
  // How many callers have buckets that are not full. If there are so many, further callers are refused.
  static constexpr std::size_t kMaxCallers = 100'000;

  // These take one check or replay from the caller's bucket. If the bucket is empty, they return
  // RATE_LIMITED.
  std::optional<Failure> TakeCheck(const std::string& caller, state::TimePoint now);
  std::optional<Failure> TakeReplay(const std::string& caller, state::TimePoint now);

  // A token was issued to this caller.
  void AddReplays(const std::string& caller);

 private:
  state::LimitTable checks_{kMaxCallers};
  state::LimitTable replays_{kMaxCallers};
  // The replays that callers have earned and not used. A caller is in one of the maps. Once the first has
  // kMaxCallers / 2 callers it replaces the second, whose callers have had no token for longest.
  absl::flat_hash_map<std::string, std::size_t> earned_;
  absl::flat_hash_map<std::string, std::size_t> earned_before_;
};

}  // namespace tokend::issue
