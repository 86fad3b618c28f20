#include "daemon/base/pattern_index.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"

namespace tokend {
namespace {

// Debian 12 builds Abseil for C++14, where absl::string_view is a type of its own.
absl::string_view Key(std::string_view text) { return {text.data(), text.size()}; }

void Insert(std::size_t size, std::vector<std::size_t>& sizes) {
  if (std::find(sizes.begin(), sizes.end(), size) == sizes.end()) sizes.push_back(size);
}

PatternIndex::Items Ordered(PatternIndex::Items items) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  return items;
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
  Insert(wildcard, prefix_sizes_);
  Bucket& bucket = by_prefix_[std::string(pattern.substr(0, wildcard))];
  const std::string_view suffix = SuffixOf(pattern);
  Insert(suffix.size(), bucket.suffix_sizes);
  Group& group = bucket.by_suffix[std::string(suffix)];
  const Segments segments = InnerSegmentsOf(pattern);
  if (segments.empty()) {
    group.others.push_back({*std::move(parsed), item});
    return;
  }
  // The pattern is stored under the segment that the fewest patterns share so far.
  const auto shared_by = [&group](std::string_view segment) {
    const auto found = group.by_segment.find(Key(segment));
    return found == group.by_segment.end() ? 0 : found->second.size();
  };
  const auto* best =
      std::min_element(segments.begin(), segments.end(),
                       [&](std::string_view a, std::string_view b) { return shared_by(a) < shared_by(b); });
  group.by_segment[std::string(*best)].push_back({*std::move(parsed), item});
}

template <class Visit>
void PatternIndex::VisitCandidates(std::string_view begin, std::string_view end, std::string_view text,
                                   Visit visit) const {
  const auto visit_all = [&visit](const Entries& entries) {
    return std::all_of(entries.begin(), entries.end(), visit);
  };
  const Segments segments = SegmentsOf(text);
  for (const std::size_t prefix : prefix_sizes_) {
    if (prefix > begin.size()) continue;
    const auto bucket = by_prefix_.find(Key(begin.substr(0, prefix)));
    if (bucket == by_prefix_.end()) continue;
    for (const std::size_t suffix : bucket->second.suffix_sizes) {
      if (suffix > end.size()) continue;
      const auto found = bucket->second.by_suffix.find(Key(end.substr(end.size() - suffix)));
      if (found == bucket->second.by_suffix.end()) continue;
      const Group& group = found->second;
      if (!visit_all(group.others)) return;
      if (group.by_segment.empty()) continue;
      for (const std::string_view segment : segments) {
        const auto under = group.by_segment.find(Key(segment));
        if (under != group.by_segment.end() && !visit_all(under->second)) return;
      }
    }
  }
}

PatternIndex::Items PatternIndex::Matching(std::string_view name) const {
  Items items;
  if (const auto found = literals_.find(Key(name)); found != literals_.end()) {
    items.insert(items.end(), found->second.begin(), found->second.end());
  }
  VisitCandidates(name, name, name, [&](const Entry& entry) {
    if (entry.pattern.Matches(name)) items.push_back(entry.item);
    return true;
  });
  return Ordered(std::move(items));
}

PatternIndex::Items PatternIndex::Covering(std::string_view pattern, Item limit, std::size_t& budget) const {
  Items items;
  const Result<Pattern> narrow = Pattern::Parse(pattern);
  if (!narrow.ok()) return items;
  if (const auto found = literals_.find(Key(pattern)); found != literals_.end()) {
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
  return Ordered(std::move(items));
}

}  // namespace tokend
