#pragma once

namespace tokend::config {

// Whether the files that a configuration names must be there: not where its policy alone is looked at, on a
// machine that has none of the secrets.
enum class NamedFiles { kJudged, kIgnored };

}  // namespace tokend::config
