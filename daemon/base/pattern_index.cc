#include "daemon/base/pattern_index.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace tokend {
namespace {

// Debian 12 builds Abseil for C++14, where absl::string_view is a type of its own.
absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// The key of a further text under a key.
std::size_t Under(std::size_t key, std::string_view text) { return absl::HashOf(key, View(text)); }

constexpr std::size_t kNoKey = 0;

template <class Sizes>
void Insert(std::size_t size, Sizes& sizes) {
  const auto same = static_cast<typename Sizes::value_type>(size);
  if (std::find(sizes.begin(), sizes.end(), same) == sizes.end()) sizes.push_back(same);
}

void Order(PatternIndex::Items& items) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
}

std::string_view SuffixOf(std::string_view pattern) {
  const std::size_t last = pattern.rfind('*');
  return last == std::string_view::npos ? pattern : pattern.substr(last + 1);
}

using Segments = absl::InlinedVector<std::string_view, 16>;

Segments SegmentsOf(std::string_view text) {
  Segments segments;
  while (true) {
    const std::size_t end = text.find_first_of("/:");
    segments.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return segments;
    text.remove_prefix(end + 1);
  }
}

// The literal segments between the first and the last wildcard: every name that matches has them.
Segments InnerSegmentsOf(std::string_view pattern) {
  const std::size_t first = pattern.find('*');
  const std::size_t last = pattern.rfind('*');
  Segments literal;
  for (const std::string_view segment : SegmentsOf(pattern.substr(first, last - first + 1))) {
    if (!segment.empty() && segment.find('*') == std::string_view::npos) literal.push_back(segment);
  }
  return literal;
}

}  // namespace

void PatternIndex::Add(std::string_view pattern, Item item) {
  Result<Pattern> parsed = Pattern::Parse(pattern);
  if (!parsed.ok()) return;
  const std::size_t wildcard = pattern.find('*');
  if (wildcard == std::string_view::npos) {
    literals_[std::string(pattern)].push_back(item);
    return;
  }
  const std::string_view suffix = SuffixOf(pattern);
  const Key prefix_key = Under(kNoKey, pattern.substr(0, wildcard));
  const Key both_keys = Under(prefix_key, suffix);
  Insert(wildcard, prefix_sizes_);
  Insert(suffix.size(), suffix_sizes_[prefix_key]);
  const Segments segments = InnerSegmentsOf(pattern);
  if (segments.empty()) {
    groups_[both_keys].places.push_back(static_cast<std::uint32_t>(entries_.size()));
  } else {
    // The pattern is stored under the segment that the fewest patterns share so far.
    const auto shared_by = [&](std::string_view segment) {
      const auto found = groups_.find(Under(both_keys, segment));
      return found == groups_.end() ? 0 : found->second.places.size();
    };
    const auto* best =
        std::min_element(segments.begin(), segments.end(),
                         [&](std::string_view a, std::string_view b) { return shared_by(a) < shared_by(b); });
    groups_[both_keys].has_segments = true;
    groups_[Under(both_keys, *best)].places.push_back(static_cast<std::uint32_t>(entries_.size()));
  }
  entries_.push_back({*std::move(parsed), item});
}

template <class Visit>
void PatternIndex::VisitCandidates(std::string_view begin, std::string_view end, std::string_view text,
                                   Visit visit) const {
  const auto visit_all = [&](const Group& group) {
    return std::all_of(group.places.begin(), group.places.end(),
                       [&](std::uint32_t place) { return visit(entries_[place]); });
  };
  const Segments segments = SegmentsOf(text);
  for (const std::size_t prefix : prefix_sizes_) {
    if (prefix > begin.size()) continue;
    const Key prefix_key = Under(kNoKey, begin.substr(0, prefix));
    const auto sizes = suffix_sizes_.find(prefix_key);
    if (sizes == suffix_sizes_.end()) continue;
    for (const std::size_t suffix : sizes->second) {
      if (suffix > end.size()) continue;
      const Key both_keys = Under(prefix_key, end.substr(end.size() - suffix));
      const auto group = groups_.find(both_keys);
      if (group == groups_.end()) continue;
      if (!visit_all(group->second)) return;
      if (!group->second.has_segments) continue;
      for (const std::string_view segment : segments) {
        const auto under = groups_.find(Under(both_keys, segment));
        if (under != groups_.end() && !visit_all(under->second)) return;
      }
    }
  }
}

PatternIndex::Items PatternIndex::Matching(std::string_view name) const {
  Items items;
  if (const auto found = literals_.find(View(name)); found != literals_.end()) {
    items.insert(items.end(), found->second.begin(), found->second.end());
  }
  VisitCandidates(name, name, name, [&](const Entry& entry) {
    if (entry.pattern.Matches(name)) items.push_back(entry.item);
    return true;
  });
  Order(items);
  return items;
}

PatternIndex::Items PatternIndex::Covering(std::string_view pattern, Item limit, std::size_t& budget) const {
  Items items;
  const Result<Pattern> narrow = Pattern::Parse(pattern);
  if (!narrow.ok()) return items;
  if (const auto found = literals_.find(View(pattern)); found != literals_.end()) {
    for (const Item item : found->second) {
      if (item >= limit || budget == 0) break;
      --budget;
      items.push_back(item);
    }
  }
  VisitCandidates(pattern.substr(0, pattern.find('*')), SuffixOf(pattern), pattern, [&](const Entry& entry) {
    if (budget == 0) return false;
    --budget;
    if (entry.item < limit && entry.pattern.Covers(*narrow)) items.push_back(entry.item);
    return true;
  });
  Order(items);
  return items;
}

}  // namespace tokend
