#include <cstddef>
#include <cstdint>
#include <string_view>

#include "daemon/base/pattern.h"
#include "tests/fuzz/check.h"

namespace {

// The maximum length for which trying every match is fast enough.
constexpr std::size_t kMaxNaive = 14;

// Tries every match, by the definition in pattern.h.
bool MatchesNaively(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern.front() != '*') {
    return !name.empty() && name.front() == pattern.front() &&
           MatchesNaively(pattern.substr(1), name.substr(1));
  }
  const bool crosses = pattern.substr(0, 2) == "**";
  const std::string_view rest = pattern.substr(crosses ? 2 : 1);
  for (std::size_t taken = 1; taken <= name.size(); ++taken) {
    const char last = name[taken - 1];
    if (!crosses && (last == '/' || last == ':')) return false;
    if (MatchesNaively(rest, name.substr(taken))) return true;
  }
  return false;
}

}  // namespace

// The input is a line with a pattern, and then a name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tokend::fuzz::Check;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t newline = input.find('\n');
  if (newline == std::string_view::npos) return 0;
  // The configuration rejects longer patterns, so they would only cost time.
  const std::string_view text = input.substr(0, newline).substr(0, 1024);
  const std::string_view name = input.substr(newline + 1).substr(0, 1024);

  const auto pattern = tokend::Pattern::Parse(text);
  if (!pattern.ok()) return 0;
  const bool matches = pattern->Matches(name);
  Check(!pattern->Matches(""));
  if (text.find('*') == std::string_view::npos) Check(matches == (text == name));
  if (text.size() <= kMaxNaive && name.size() <= kMaxNaive) Check(matches == MatchesNaively(text, name));
  return 0;
}
