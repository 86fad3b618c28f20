#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tokend::client {

// The candidate that needs the fewest changes of a character to become `word`; the first of several. Empty
// where there is no candidate.
std::string NearestWord(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tokend::client
