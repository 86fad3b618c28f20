#include "daemon/base/pattern.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"

namespace tokend {
namespace {

bool IsSeparator(char c) { return c == '/' || c == ':'; }

// Runs the pattern as a nondeterministic automaton. State i means that the input so far matches the first i
// tokens. `states` are all states that are possible at once, in ascending order.
template <class Token, class Input>
bool MatchesTokens(const std::vector<Token>& tokens, const Input& input) {
  absl::InlinedVector<std::size_t, 16> states = {0};
  absl::InlinedVector<std::size_t, 16> next;
  for (const auto& part : input) {
    next.clear();
    for (const std::size_t state : states) {
      if (state == tokens.size() || !tokens[state].Accepts(part)) continue;
      const bool repeats = tokens[state].kind != Token::Kind::kLiteral;
      if (repeats && (next.empty() || next.back() != state)) next.push_back(state);
      next.push_back(state + 1);
    }
    if (next.empty()) return false;
    states.swap(next);
  }
  return states.back() == tokens.size();
}

}  // namespace

bool Pattern::Token::Accepts(char c) const {
  return kind == Kind::kLiteral ? c == literal : kind == Kind::kAny || !IsSeparator(c);
}

bool Pattern::Token::Accepts(const Token& token) const {
  return token.kind == Kind::kLiteral ? Accepts(token.literal) : kind >= token.kind;
}

Result<Pattern> Pattern::Parse(std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("a pattern must not be empty");
  if (text.find("***") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "\"***\" is not a wildcard: use \"*\" within a segment or \"**\" across segments");
  }
  if (std::all_of(text.begin(), text.end(), [](char c) { return c == '*' || IsSeparator(c); })) {
    return absl::InvalidArgumentError("a pattern needs a literal part: this one matches nearly every name");
  }
  Pattern pattern;
  const std::size_t first_wildcard = std::min(text.find('*'), text.size());
  pattern.prefix_ = text.substr(0, first_wildcard);
  for (std::size_t i = first_wildcard; i < text.size(); ++i) {
    if (text[i] != '*') {
      pattern.tokens_.push_back({Token::Kind::kLiteral, text[i]});
    } else if (text.substr(i, 2) == "**") {
      pattern.tokens_.push_back({Token::Kind::kAny, '\0'});
      ++i;
    } else {
      pattern.tokens_.push_back({Token::Kind::kSegment, '\0'});
    }
  }
  return pattern;
}

bool Pattern::Matches(std::string_view name) const {
  if (!name.starts_with(prefix_)) return false;
  name.remove_prefix(prefix_.size());
  return tokens_.empty() ? name.empty() : MatchesTokens(tokens_, name);
}

bool Pattern::Covers(const Pattern& other) const {
  if (other.tokens_.empty()) return Matches(other.prefix_);
  return !tokens_.empty() && other.prefix_.starts_with(prefix_) &&
         MatchesTokens(AllTokens(), other.AllTokens());
}

std::vector<Pattern::Token> Pattern::AllTokens() const {
  std::vector<Token> tokens;
  for (const char c : prefix_) tokens.push_back({Token::Kind::kLiteral, c});
  tokens.insert(tokens.end(), tokens_.begin(), tokens_.end());
  return tokens;
}

PatternSet::PatternSet(const std::vector<std::string>& patterns) {
  for (const std::string& text : patterns) {
    if (text == "*") {
      any_ = true;
    } else if (Result<Pattern> pattern = Pattern::Parse(text); pattern.ok()) {
      patterns_.push_back(*std::move(pattern));
    }
  }
}

bool PatternSet::Matches(std::string_view name) const {
  return any_ || std::any_of(patterns_.begin(), patterns_.end(),
                             [&](const Pattern& pattern) { return pattern.Matches(name); });
}

bool PatternSet::Covers(const PatternSet& other) const {
  if (any_) return true;
  return !other.any_ &&
         std::all_of(other.patterns_.begin(), other.patterns_.end(), [this](const Pattern& narrow) {
           return std::any_of(patterns_.begin(), patterns_.end(),
                              [&narrow](const Pattern& pattern) { return pattern.Covers(narrow); });
         });
}

}  // namespace tokend
