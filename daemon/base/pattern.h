#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace tokend {

// A pattern for names. "/" and ":" separate the segments of a name. "*" matches one or more characters within
// a segment, "**" matches one or more characters of any kind, and every other character matches itself.
// Matching takes time proportional to the name's length times the pattern's length, for every input.
// Immutable.
class Pattern {
 public:
  // INVALID_ARGUMENT with the reason if the text is empty, has three stars in a row, or consists of wildcards
  // and separators only, which would match nearly every name.
  static Result<Pattern> Parse(std::string_view text);

  bool Matches(std::string_view name) const;

  // True only if this pattern matches every name that the other matches. The answer can be a false no, in
  // rare cases with several wildcards in a row.
  bool Covers(const Pattern& other) const;

 private:
  struct Token {
    enum class Kind : char { kLiteral, kSegment, kAny } kind;  // each accepts more than the one before it
    char literal;

    bool Accepts(char c) const;
    bool Accepts(const Token& token) const;  // everything that the token accepts
  };

  std::vector<Token> AllTokens() const;

  std::string prefix_;         // the literal part before the first wildcard
  std::vector<Token> tokens_;  // the rest; empty if the pattern has no wildcard
};

// A set of patterns. It matches a name if one of the patterns does. Immutable.
class PatternSet {
 public:
  // Each text must be accepted by Pattern::Parse, or be "*", which matches every name.
  explicit PatternSet(const std::vector<std::string>& patterns);

  bool Matches(std::string_view name) const;

  // True only if this set matches every name that the other matches. The answer can be a false no.
  bool Covers(const PatternSet& other) const;

 private:
  bool any_ = false;
  std::vector<Pattern> patterns_;
};

}  // namespace tokend
