#include "daemon/base/pattern.h"

#include <algorithm>

namespace tokend {
namespace {

bool IsSeparator(char c) { return c == '/' || c == ':'; }

}  // namespace

bool Pattern::Token::Takes(char c) const {
  switch (kind) {
    case Kind::kLiteral:
      return c == literal;
    case Kind::kSegment:
      return !IsSeparator(c);
    case Kind::kAny:
      return true;
  }
  return false;
}

Result<Pattern> Pattern::Parse(std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("a pattern must not be empty");
  if (text.find("***") != std::string_view::npos) {
    return absl::InvalidArgumentError("\"***\" is no wildcard: \"*\" stays within a segment, \"**\" crosses");
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

// Follows every way through the pattern at once: reached[i] says that the name so far can be what stands
// before tokens_[i].
bool Pattern::Matches(std::string_view name) const {
  if (!name.starts_with(prefix_)) return false;
  name.remove_prefix(prefix_.size());
  if (tokens_.empty()) return name.empty();

  std::vector<char> reached(tokens_.size() + 1, 0);
  std::vector<char> next(tokens_.size() + 1, 0);
  reached[0] = 1;
  for (const char c : name) {
    std::fill(next.begin(), next.end(), 0);
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (reached[i] == 0 || !tokens_[i].Takes(c)) continue;
      next[i + 1] = 1;
      if (tokens_[i].kind != Token::Kind::kLiteral) next[i] = 1;
    }
    reached.swap(next);
  }
  return reached.back() != 0;
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

}  // namespace tokend
