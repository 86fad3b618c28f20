#include "daemon/config/caller_template.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "daemon/base/caller_name.h"
#include "daemon/base/text.h"

namespace tokend::config {
namespace {

constexpr char kBraces[] = "braces stand only around a claim, such as {sub} or {/kubernetes.io/namespace}";

Status Wrong(const char* why) { return absl::InvalidArgumentError(why); }

// A reference token of a JSON Pointer: "~0" is "~" and "~1" is "/".
std::optional<std::string> Unescape(std::string_view token) {
  std::string key;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '~') {
      key += token[i];
      continue;
    }
    ++i;
    if (i == token.size() || (token[i] != '0' && token[i] != '1')) return std::nullopt;
    key += token[i] == '0' ? '~' : '/';
  }
  return key;
}

Result<std::vector<std::string>> ParseClaim(std::string_view text) {
  if (text.empty() || Contains(text, '{')) return Wrong(kBraces);
  if (text.front() != '/') return std::vector<std::string>{std::string(text)};
  std::vector<std::string> keys;
  for (const std::string_view token : Split(text.substr(1), '/')) {
    std::optional<std::string> key = Unescape(token);
    if (!key || key->empty()) {
      return Wrong("a claim that begins with \"/\" is a JSON Pointer, such as {/kubernetes.io/namespace}");
    }
    keys.push_back(*std::move(key));
  }
  return keys;
}

}  // namespace

Result<CallerTemplate> ParseCallerTemplate(std::string_view text) {
  CallerTemplate parts;
  while (!text.empty()) {
    if (text.front() != '{') {
      const std::string_view literal = text.substr(0, text.find('{'));
      if (Contains(literal, '}')) return Wrong(kBraces);
      if (!IsCallerName(literal) || Contains(literal, '*')) {
        return Wrong("besides claims it may hold printable ASCII characters without spaces and \"*\"");
      }
      parts.push_back({.literal = std::string(literal), .claim = {}});
      text.remove_prefix(literal.size());
      continue;
    }
    const std::size_t end = text.find('}');
    if (end == std::string_view::npos) return Wrong(kBraces);
    Result<std::vector<std::string>> claim = ParseClaim(text.substr(1, end - 1));
    if (!claim.ok()) return claim.status();
    parts.push_back({.literal = {}, .claim = *std::move(claim)});
    text.remove_prefix(end + 1);
  }
  if (std::all_of(parts.begin(), parts.end(), [](const auto& part) { return part.claim.empty(); })) {
    return Wrong("must name a claim of the token, such as {sub}");
  }
  return parts;
}

}  // namespace tokend::config
