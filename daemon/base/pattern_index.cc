#include "daemon/base/pattern_index.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"

namespace tokend {
namespace {

// Debian's Abseil has a string_view of its own.
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
  bucket.by_suffix[std::string(suffix)].push_back({*std::move(parsed), item});
}

PatternIndex::Items PatternIndex::Matching(std::string_view name) const {
  Items items;
  if (const auto found = literals_.find(Key(name)); found != literals_.end()) {
    items.insert(items.end(), found->second.begin(), found->second.end());
  }
  for (const std::size_t prefix : prefix_sizes_) {
    if (prefix >= name.size()) continue;
    const auto bucket = by_prefix_.find(Key(name.substr(0, prefix)));
    if (bucket == by_prefix_.end()) continue;
    for (const std::size_t suffix : bucket->second.suffix_sizes) {
      if (prefix + suffix >= name.size()) continue;
      const auto entries = bucket->second.by_suffix.find(Key(name.substr(name.size() - suffix)));
      if (entries == bucket->second.by_suffix.end()) continue;
      for (const Entry& entry : entries->second) {
        if (entry.pattern.Matches(name)) items.push_back(entry.item);
      }
    }
  }
  return Ordered(std::move(items));
}

PatternIndex::Items PatternIndex::Covering(std::string_view pattern, Item limit, std::size_t& budget) const {
  Items items;
  const Result<Pattern> narrow = Pattern::Parse(pattern);
  if (!narrow.ok()) return items;
  const std::string_view fixed = pattern.substr(0, pattern.find('*'));
  const std::string_view ending = SuffixOf(pattern);
  if (const auto found = literals_.find(Key(pattern)); found != literals_.end()) {
    for (const Item item : found->second) {
      if (item < limit) items.push_back(item);
    }
  }
  for (const std::size_t prefix : prefix_sizes_) {
    if (prefix > fixed.size()) continue;
    const auto bucket = by_prefix_.find(Key(fixed.substr(0, prefix)));
    if (bucket == by_prefix_.end()) continue;
    for (const std::size_t suffix : bucket->second.suffix_sizes) {
      if (suffix > ending.size()) continue;
      const auto entries = bucket->second.by_suffix.find(Key(ending.substr(ending.size() - suffix)));
      if (entries == bucket->second.by_suffix.end()) continue;
      for (const Entry& entry : entries->second) {
        if (entry.item >= limit) continue;
        if (budget == 0) return Ordered(std::move(items));
        --budget;
        if (entry.pattern.Covers(*narrow)) items.push_back(entry.item);
      }
    }
  }
  return Ordered(std::move(items));
}

}  // namespace tokend
