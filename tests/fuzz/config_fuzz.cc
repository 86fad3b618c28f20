#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/config/load.h"
#include "tests/fuzz/check.h"

// A configuration is either accepted, and then its effective form has the same meaning, or rejected with
// errors that name their places and contain no control characters.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tokend::fuzz::Check;
  namespace config = tokend::config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const config::LoadResult result = config::Parse(text, "fuzz.yaml");
  Check(result.config.has_value() == result.errors.empty());
  for (const auto& lines : {result.errors, result.warnings}) {
    for (const std::string& line : lines) {
      Check(line.starts_with("fuzz.yaml:"));
      for (const char c : line) Check(c >= ' ' && c != 0x7F);
    }
  }
  if (!result.config) return 0;
  const config::LoadResult again = config::Parse(result.config->effective, "effective.yaml");
  Check(again.config.has_value());
  Check(again.config->fingerprint == result.config->fingerprint);
  return 0;
}
