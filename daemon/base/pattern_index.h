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

// Many patterns, each with a number, that are looked up by name: by the whole of a literal; of a pattern by
// what stands before the first and after the last wildcard, and by one of the segments between them that hold
// none. Only patterns that share all of these are tried one by one.
class PatternIndex {
 public:
  using Item = std::uint32_t;
  using Items = absl::InlinedVector<Item, 16>;  // ascending, each once

  // A pattern that Pattern::Parse accepts; others are passed over.
  void Add(std::string_view pattern, Item item);

  // The items with a pattern that matches the name.
  Items Matching(std::string_view name) const;

  // The items below `limit` with a pattern that surely matches all that this one does. Takes one from
  // `budget` for each that is looked at, and finds no more once that is used up.
  Items Covering(std::string_view pattern, Item limit, std::size_t& budget) const;

 private:
  struct Entry {
    Pattern pattern;
    Item item;
  };
  using Entries = std::vector<Entry>;
  struct Group {
    absl::flat_hash_map<std::string, Entries> by_segment;
    Entries others;  // patterns without a whole segment between their wildcards
  };
  struct Bucket {
    std::vector<std::size_t> suffix_sizes;  // that occur
    absl::flat_hash_map<std::string, Group> by_suffix;
  };

  // Calls visit(entry) for each pattern that begins as `begin` does, ends as `end` does, and holds one of the
  // segments of `text`, or none; until one answers false.
  template <class Visit>
  void VisitCandidates(std::string_view begin, std::string_view end, std::string_view text,
                       Visit visit) const;

  absl::flat_hash_map<std::string, std::vector<Item>> literals_;
  std::vector<std::size_t> prefix_sizes_;  // that occur
  absl::flat_hash_map<std::string, Bucket> by_prefix_;
};

}  // namespace tokend
