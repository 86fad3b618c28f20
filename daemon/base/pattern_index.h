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

// Many patterns, each with a number, that are looked up by name: by the whole of a literal, and by what
// stands before the first and after the last wildcard of a pattern. Only patterns that share both are tried
// one by one.
class PatternIndex {
 public:
  using Item = std::uint32_t;
  using Items = absl::InlinedVector<Item, 16>;  // ascending, each once

  // A pattern that Pattern::Parse accepts; others are passed over.
  void Add(std::string_view pattern, Item item);

  // The items with a pattern that matches the name.
  Items Matching(std::string_view name) const;

  // The items below `limit` with a pattern that surely matches all that this one does. Takes one from
  // `budget` for each that has to be compared, and finds no more once that is used up.
  Items Covering(std::string_view pattern, Item limit, std::size_t& budget) const;

 private:
  struct Entry {
    Pattern pattern;
    Item item;
  };
  struct Bucket {
    std::vector<std::size_t> suffix_sizes;  // that occur
    absl::flat_hash_map<std::string, std::vector<Entry>> by_suffix;
  };

  absl::flat_hash_map<std::string, std::vector<Item>> literals_;
  std::vector<std::size_t> prefix_sizes_;  // that occur
  absl::flat_hash_map<std::string, Bucket> by_prefix_;
};

}  // namespace tokend
