#pragma once

namespace tokend::client {

// The exit codes of tokenctl.
enum Exit {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kInvalidRequest = 3,
  kUnauthenticated = 4,
  kNotPermitted = 5,
  kRetryLater = 6,
  kOutcomeUnknown = 7,
  kVerificationFailed = 8,
  kNothingFound = 9,
};

}  // namespace tokend::client
