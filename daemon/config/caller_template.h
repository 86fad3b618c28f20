#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace tokend::config {

// One piece of a caller's name: text that stands for itself, or a claim of the token.
struct CallerTemplatePart {
  std::string literal;
  std::vector<std::string> claim;  // keys from the outermost object inwards; empty: the part is `literal`
};
using CallerTemplate = std::vector<CallerTemplatePart>;

// "{sub}" is the claim of that name; "{/kubernetes.io/namespace}" is one within other claims, a JSON Pointer
// (RFC 6901). INVALID_ARGUMENT, and why, for other braces, no claim at all, or text that no caller's name may
// hold.
Result<CallerTemplate> ParseCallerTemplate(std::string_view text);

}  // namespace tokend::config
