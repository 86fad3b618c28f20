#include "daemon/config/nearest.h"

#include <algorithm>

#include "daemon/base/text.h"

namespace tokend::config {
namespace {

constexpr std::size_t kMaxLength = 64;  // no key or scope is longer: keeps the distance's cost small

// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours cost one each.
std::size_t Distance(std::string_view left, std::string_view right) {
  std::vector<std::vector<std::size_t>> cost(left.size() + 1, std::vector<std::size_t>(right.size() + 1));
  for (std::size_t i = 0; i <= left.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= right.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t replaced = cost[i - 1][j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
      cost[i][j] = std::min({replaced, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost.back().back();
}

std::string Fold(std::string_view text) {
  std::string folded = Lower(text);
  std::replace(folded.begin(), folded.end(), '-', '_');
  return folded;
}

}  // namespace

std::optional<std::string> Nearest(std::string_view text, const std::vector<std::string>& candidates) {
  if (text.size() > kMaxLength) return std::nullopt;
  const std::string folded = Fold(text);
  std::optional<std::string> nearest;
  std::size_t least = kMaxLength;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = Distance(folded, Fold(candidate));
    if (distance > std::max<std::size_t>(1, candidate.size() / 3) || distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

std::string Suggest(const std::optional<std::string>& nearest) {
  return nearest ? Concat({"; did you mean \"", *nearest, "\"?"}) : "";
}

}  // namespace tokend::config
