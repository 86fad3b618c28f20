#include "client/retry.h"

#include <absl/strings/match.h>

#include <algorithm>
#include <array>
#include <random>
#include <string_view>
#include <thread>

namespace tokend::client {
namespace {

class MachineClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point Now() override { return std::chrono::steady_clock::now(); }
  void Sleep(std::chrono::nanoseconds duration) override { std::this_thread::sleep_for(duration); }
};

// Reasons for which no token was created and a later attempt may succeed.
constexpr std::array kPassing{
    Reason::kRateLimited,         Reason::kUpstreamRateLimited, Reason::kOverloaded,
    Reason::kShuttingDown,        Reason::kAuditUnavailable,    Reason::kLimitsUnavailable,
    Reason::kUpstreamUnavailable,
};

// Reasons for which a token may exist, and which every later call with the request_id gets as well.
constexpr std::array kUnknown{Reason::kOutcomeUnknown, Reason::kUpstreamInvalidResponse};

template <std::size_t Size>
bool IsOneOf(const std::array<Reason, Size>& reasons, std::string_view name) {
  return std::any_of(reasons.begin(), reasons.end(), [&](Reason known) { return Name(known) == name; });
}

// Whether the error refuses the request, or only says that no answer came. Without a reason of tokend, it is
// of gRPC or of a proxy. Some codes are then refusals, but gRPC also makes them of a stream that was reset.
bool IsAnswer(const Status& status, const ErrorDetails& details) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return !details.reason.empty();
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return !details.reason.empty() || !absl::StartsWith(status.message(), "Received RST_STREAM");
    default:
      return false;
  }
}

// From half of the step to the whole step, at random, so that clients that failed together do not return
// together.
std::chrono::nanoseconds Backoff(int attempts) {
  std::chrono::milliseconds step = Client::kFirstBackoff;
  for (int i = 1; i < attempts && step < Client::kMaxBackoff; ++i) step *= 2;
  const std::chrono::nanoseconds most = std::min(step, Client::kMaxBackoff);
  std::random_device random;
  return std::chrono::nanoseconds(
      std::uniform_int_distribution<std::chrono::nanoseconds::rep>(most.count() / 2, most.count())(random));
}

}  // namespace

Clock& SteadyClock() {
  static auto* const clock = new MachineClock;
  return *clock;
}

// The words are those of gRPC 1.51 for a stream that the server has not processed (RFC 9113, 6.8 and 8.7).
// gRPC has no other sign for it. With other words the outcome is taken for unknown.
bool WasNotProcessed(const Failed& failed) {
  return !failed.has_details && absl::IsUnavailable(failed.status) &&
         (failed.status.message() == "GOAWAY received" ||
          failed.status.message() == "Received RST_STREAM with error code 7");
}

Outcome OutcomeOf(const Failed& failed) {
  if (!failed.was_sent) return Outcome::kNoToken;
  const ErrorDetails details = DetailsOf(failed.status);
  if (failed.has_retry_pushback || IsOneOf(kUnknown, details.reason)) return Outcome::kLookForToken;
  if (WasNotProcessed(failed)) return Outcome::kNoToken;
  return IsAnswer(failed.status, details) ? Outcome::kNoToken : Outcome::kAskAgain;
}

std::optional<std::chrono::nanoseconds> RetryDelay(const Failed& failed, int attempts) {
  const absl::StatusCode code = failed.status.code();
  if (code != absl::StatusCode::kUnavailable && code != absl::StatusCode::kResourceExhausted) {
    return std::nullopt;
  }
  if (failed.has_retry_pushback || attempts >= Client::kMaxAttempts) return std::nullopt;
  if (!failed.has_details) {
    // RESOURCE_EXHAUSTED without details comes from gRPC: the message is too large, and stays too large.
    if (code == absl::StatusCode::kUnavailable) return Backoff(attempts);
    return std::nullopt;
  }
  const ErrorDetails details = DetailsOf(failed.status);
  if (!IsOneOf(kPassing, details.reason) || !details.retry_after) return std::nullopt;
  return *details.retry_after + Backoff(attempts);
}

}  // namespace tokend::client
