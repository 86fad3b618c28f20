#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace tokend {

// What became of the token that a request asked for.
enum class TokenOutcome {
  kIssued,    // created, and released to its caller
  kReplayed,  // created by an earlier call with the same request_id, and released again
  kRefused,   // not created
  kWithheld,  // created or maybe created; tokend keeps back what the answer held
  kUnknown,   // maybe created
};

// The label of each in tokend_tokens_total.
inline constexpr std::array<std::string_view, 5> kTokenOutcomeLabels = {"issued", "replayed", "refused",
                                                                        "withheld", "unknown"};

constexpr std::size_t IndexOf(TokenOutcome outcome) { return static_cast<std::size_t>(outcome); }

static_assert(kTokenOutcomeLabels[IndexOf(TokenOutcome::kIssued)] == "issued" &&
              kTokenOutcomeLabels[IndexOf(TokenOutcome::kReplayed)] == "replayed" &&
              kTokenOutcomeLabels[IndexOf(TokenOutcome::kRefused)] == "refused" &&
              kTokenOutcomeLabels[IndexOf(TokenOutcome::kWithheld)] == "withheld" &&
              kTokenOutcomeLabels[IndexOf(TokenOutcome::kUnknown)] == "unknown");

}  // namespace tokend
