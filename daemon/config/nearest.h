#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokend::config {

// The candidate that was probably meant: the one at the smallest edit distance from the text, where case and
// "-" instead of "_" do not count. The distance is at most a third of the candidate's length, but may always
// be one.
std::optional<std::string> Nearest(std::string_view text, const std::vector<std::string>& candidates);

// "; did you mean …?", or nothing.
std::string Suggest(const std::optional<std::string>& nearest);

}  // namespace tokend::config
