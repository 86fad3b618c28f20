#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "daemon/base/failure.h"

// The failures of requests that the central tokend did not judge. Nothing was created.
namespace tokend::upstream {

inline Failure CentreUnreachable(std::string detail) {
  return {.reason = Reason::kUpstreamUnavailable,
          .detail = std::move(detail),
          .retry_after = std::chrono::seconds(1),
          .message = "the central tokend cannot be reached, and nothing was created; retry later"};
}

inline Failure CentreRejectsRelay() {
  return {.reason = Reason::kUpstreamKeyRejected,
          .detail = "the central tokend answered CALLER_UNKNOWN at every address",
          .message = "the central tokend does not accept this relay's credentials"};
}

}  // namespace tokend::upstream
