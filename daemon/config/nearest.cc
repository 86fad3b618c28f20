#include "daemon/config/nearest.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "daemon/config/text.h"

namespace tokend::config {
namespace {

constexpr std::size_t kMaxLength = 64;  // no key is longer: keeps the distance's cost small

std::size_t Distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t replaced = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string> Nearest(std::string_view text, const std::vector<std::string>& candidates) {
  if (text.size() > kMaxLength) return std::nullopt;
  std::string folded = Lower(text);
  std::replace(folded.begin(), folded.end(), '-', '_');
  std::optional<std::string> nearest;
  std::size_t least = kMaxLength;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = Distance(folded, candidate);
    if (distance > std::max<std::size_t>(1, candidate.size() / 3) || distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace tokend::config
