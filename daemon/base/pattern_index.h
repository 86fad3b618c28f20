#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "daemon/base/pattern.h"

namespace tokend {

// An index of numbered patterns that finds those which match a name. A pattern without wildcards is looked up
// as a whole. A pattern with wildcards is looked up by three keys: its text before the first wildcard, its
// text after the last wildcard, and one segment in between that has no wildcard. Only the patterns with all
// keys in common with the name are matched one by one.
class PatternIndex {
 public:
  using Item = std::uint32_t;
  using Items = absl::InlinedVector<Item, 16>;  // ascending, without duplicates

  // Adds a pattern. Patterns that Pattern::Parse rejects are ignored.
  void Add(std::string_view pattern, Item item);

  // The items with a pattern that matches the name.
  Items Matching(std::string_view name) const;

  // The items below `limit` that have a pattern which covers this one (Pattern::Covers). Each pattern that is
  // compared costs one of `budget`; the search ends when the budget is used up.
  Items Covering(std::string_view pattern, Item limit, std::size_t& budget) const;

 private:
  struct Entry {
    Pattern pattern;
    Item item;
  };
  // A hash of the texts that the patterns of a list have in common. Each pattern is compared in full, so that
  // texts with the same hash cost time and change no answer.
  using Key = std::size_t;
  using Places = absl::InlinedVector<std::uint32_t, 2>;  // in entries_
  using Sizes = absl::InlinedVector<std::uint32_t, 2>;
  // The patterns with one prefix and suffix and no segment, or with these and one segment.
  struct Group {
    Places places;
    bool has_segments = false;  // there are groups with these and a segment
  };

  // Calls visit(entry) for each pattern whose literal beginning is a prefix of `begin`, whose literal end is
  // a suffix of `end`, and whose key segment, if it has one, is a segment of `text`. Stops when visit returns
  // false.
  template <class Visit>
  void VisitCandidates(std::string_view begin, std::string_view end, std::string_view text,
                       Visit visit) const;

  absl::flat_hash_map<std::string, absl::InlinedVector<Item, 2>> literals_;
  std::vector<Entry> entries_;                    // the patterns with wildcards
  std::vector<std::size_t> prefix_sizes_;         // of all of them
  absl::flat_hash_map<Key, Sizes> suffix_sizes_;  // by the prefix
  absl::flat_hash_map<Key, Group> groups_;
};

}  // namespace tokend
