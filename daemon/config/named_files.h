#pragma once

namespace tokend::config {

// Whether to judge the files that a configuration names and the places of its sockets. kIgnored: only the
// policy is of interest, on a machine that is not the daemon's.
enum class NamedFiles { kJudged, kIgnored };

}  // namespace tokend::config
