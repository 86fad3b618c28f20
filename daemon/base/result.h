#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tokend {

using absl::Status;

// A value, or why there is none. Messages are the daemon's own fixed words: what a caller or the upstream
// wrote never stands in one.
template <class T>
using Result = absl::StatusOr<T>;

}  // namespace tokend
