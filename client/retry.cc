#include "client/retry.h"

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

bool IsPassing(std::string_view reason) {
  return std::any_of(kPassing.begin(), kPassing.end(), [&](Reason known) { return Name(known) == reason; });
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
  if (!IsPassing(details.reason) || !details.retry_after) return std::nullopt;
  return *details.retry_after + Backoff(attempts);
}

}  // namespace tokend::client
