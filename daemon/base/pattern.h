#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace tokend {

// A name with wildcards: "*" is one or more characters within a segment (between "/" or ":"), "**" is one or
// more of any. Everything else stands for itself. Matching takes time proportional to the name's length
// times the pattern's, whatever either holds. Immutable.
class Pattern {
 public:
  // INVALID_ARGUMENT, with what is wrong: empty, three stars in a row, or nothing but wildcards and
  // separators, which would match nearly every name.
  static Result<Pattern> Parse(std::string_view text);

  bool Matches(std::string_view name) const;

  // Whether this surely matches every name that the other does. Rarely, for several wildcards in a row, it
  // does and this says no.
  bool Covers(const Pattern& other) const;

 private:
  struct Token {
    enum class Kind : char { kLiteral, kSegment, kAny } kind;
    char literal;

    bool Takes(char c) const;
    bool Takes(const Token& token) const;  // any name's part that the token stands for
  };

  std::vector<Token> AllTokens() const;

  std::string prefix_;         // what stands before the first wildcard
  std::vector<Token> tokens_;  // the rest; empty where the pattern is a literal
};

// Several patterns, any of which may match. Immutable.
class PatternSet {
 public:
  // Patterns that Parse accepts, or a lone "*", which is any name.
  explicit PatternSet(const std::vector<std::string>& patterns);

  bool Matches(std::string_view name) const;

  // Whether this surely matches every name that the other does.
  bool Covers(const PatternSet& other) const;

 private:
  bool any_ = false;
  std::vector<Pattern> patterns_;
};

}  // namespace tokend
