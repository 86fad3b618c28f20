#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/config/report.h"

namespace tokend::config {

inline constexpr std::size_t kMaxFileSize = 16 << 20;  // bytes

// Whether to judge the files that a configuration names and the places of its sockets. kIgnored: only the
// policy is of interest, on a machine that is not the daemon's.
enum class NamedFiles { kJudged, kIgnored };

// The result of reading a configuration. Errors and warnings are whole lines, "FILE:LINE:COLUMN: error: …",
// in the order of the file. They quote no value, but may suggest the name of an organization or a scope.
struct LoadResult {
  std::optional<Config> config = {};  // present exactly where there are no errors
  std::vector<std::string> errors = {};
  std::vector<std::string> warnings = {};
  std::vector<std::string> files = {};  // every file that the keys name, without the configuration's own
  std::string text_fingerprint = {};    // of the file's text; empty where it could not be read
  Report report;                        // takes further errors, of the contents of named files
};

// Reads and judges a configuration file, the presence and mode of the files that it names, and the places of
// its sockets. With a `running` configuration, a different value of a key that is read only at the start is
// an error. Blocks on the file system; any thread.
LoadResult Load(const std::string& path, const Config* running = nullptr,
                NamedFiles files = NamedFiles::kJudged);

// The same for a text that is at hand; `filename` is what errors call it.
LoadResult Parse(std::string_view text, std::string_view filename, const Config* running = nullptr,
                 NamedFiles files = NamedFiles::kJudged);

}  // namespace tokend::config
