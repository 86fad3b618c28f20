#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tokend {

using absl::Status;

// A value or an error. Error messages are the daemon's own words. They never contain text that a caller or
// the upstream wrote.
template <class T>
using Result = absl::StatusOr<T>;

}  // namespace tokend
