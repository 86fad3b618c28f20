#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace tokend {

// A name with wildcards: "*" is one or more characters within a segment (between "/" or ":"), "**" is one or
// more of any. Everything else stands for itself. Matching takes time linear in the name for each wildcard.
// Immutable.
class Pattern {
 public:
  // INVALID_ARGUMENT, with what is wrong: empty, three stars in a row, or no literal character.
  static Result<Pattern> Parse(std::string_view text);

  bool Matches(std::string_view name) const;

 private:
  enum class Wildcard { kNone, kSegment, kAny };
  // A wildcard, then a literal.
  struct Part {
    Wildcard wildcard;
    std::string literal;
  };

  static bool MatchFrom(const Part* part, const Part* end, std::string_view name);

  std::vector<Part> parts_;
};

// Several patterns, any of which may match. Immutable.
class PatternSet {
 public:
  // Patterns that Parse accepts, or a lone "*", which is any.
  explicit PatternSet(const std::vector<std::string>& patterns);

  bool Matches(std::string_view name) const;

 private:
  bool any_ = false;
  std::vector<Pattern> patterns_;
};

}  // namespace tokend
