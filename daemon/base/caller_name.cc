#include "daemon/base/caller_name.h"

#include <algorithm>
#include <cstddef>

namespace tokend {
namespace {

constexpr std::size_t kMaxCallerBytes = 256;
constexpr std::size_t kMaxTrustDomainBytes = 255;

bool IsTrustDomainCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

}  // namespace

bool IsCallerName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxCallerBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F; });
}

std::string_view ReservedPrefixOf(std::string_view name) {
  for (const std::string_view prefix : kReservedPrefixes) {
    if (name.starts_with(prefix)) return prefix;
  }
  return {};
}

bool IsTrustDomain(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTrustDomainBytes &&
         std::all_of(text.begin(), text.end(), IsTrustDomainCharacter);
}

}  // namespace tokend
