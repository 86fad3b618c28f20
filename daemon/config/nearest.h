#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokend::config {

// The candidate that was probably meant: the one with the fewest typing errors (Levenshtein distance, case
// and "-" for "_" forgiven), if these are at most a third of its length, and one in any case.
std::optional<std::string> Nearest(std::string_view text, const std::vector<std::string>& candidates);

}  // namespace tokend::config
