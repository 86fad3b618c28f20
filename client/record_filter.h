#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/audit/fingerprint.h"
#include "daemon/audit/record_view.h"
#include "daemon/base/pattern.h"
#include "daemon/base/result.h"

namespace tokend::client {

// What `tokenctl audit find` is asked for. Empty: any.
struct FindArguments {
  std::string token;  // "-": the bearer on standard input
  std::string fingerprint_key;
  std::vector<std::string> token_ids;
  std::string request_id;
  std::string caller;  // this and the next three are patterns, as in the policy
  std::string application;
  std::string organization;
  std::string grant;
  std::string event;
  std::string since;
  std::string until;
};

// An RFC 3339 time, a date (its first moment, UTC), or an age such as "7d": so long before `now`. The units
// are s, m, h, d and w. Nothing for any other text.
std::optional<audit::RecordTime> ParseMoment(std::string_view text, audit::RecordTime now);

// Chooses records. Made once; Matches counts what it could not compare. One thread at a time.
class RecordFilter {
 public:
  // Reads the bearer and the key where they are asked for. INVALID_ARGUMENT names the option and says what it
  // must be.
  static Result<RecordFilter> Make(const FindArguments& asked);

  bool Matches(const audit::RecordView& record);

  // Records that would match, if not for a fingerprint that was made with another key.
  std::uint64_t other_key() const { return other_key_; }
  // Records that do not name the key of their fingerprint, as those of older daemons, and do not match by it.
  std::uint64_t unnamed_key() const { return unnamed_key_; }

 private:
  bool MatchesRest(const audit::RecordView& record) const;
  Status SetTimes(const FindArguments& asked);
  Status SetPatterns(const FindArguments& asked);
  Status SetToken(const FindArguments& asked);

  std::string fingerprint_;
  std::string fingerprint_key_;  // the name of the key that made it
  std::vector<std::string> token_ids_;
  std::string request_id_;
  std::string event_;
  std::optional<PatternSet> caller_;
  std::optional<PatternSet> application_;
  std::optional<PatternSet> organization_;
  std::optional<PatternSet> grant_;
  std::optional<audit::RecordTime> since_;
  std::optional<audit::RecordTime> until_;
  std::uint64_t other_key_ = 0;
  std::uint64_t unnamed_key_ = 0;
};

}  // namespace tokend::client
