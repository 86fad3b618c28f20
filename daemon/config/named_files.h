#pragma once

namespace tokend::config {

// Whether the files that a configuration names must be there, and the places of its sockets be free and its
// own: not where its policy alone is looked at, on a machine that is not the daemon's.
enum class NamedFiles { kJudged, kIgnored };

}  // namespace tokend::config
