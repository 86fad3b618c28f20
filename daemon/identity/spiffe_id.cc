#include "daemon/identity/spiffe_id.h"

#include <algorithm>
#include <cstddef>

namespace tokend::identity {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::size_t kMaxIdBytes = 2048;
constexpr std::size_t kMaxTrustDomainBytes = 255;

bool IsTrustDomainCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool IsPathCharacter(char c) { return IsTrustDomainCharacter(c) || (c >= 'A' && c <= 'Z'); }

bool IsTrustDomain(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTrustDomainBytes &&
         std::all_of(text.begin(), text.end(), IsTrustDomainCharacter);
}

bool IsPathSegment(std::string_view text) {
  return !text.empty() && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), IsPathCharacter);
}

}  // namespace

bool IsWorkloadSpiffeId(std::string_view text) {
  if (text.size() > kMaxIdBytes || text.substr(0, kScheme.size()) != kScheme) return false;
  text.remove_prefix(kScheme.size());

  std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || !IsTrustDomain(text.substr(0, slash))) return false;

  // The characters allowed leave no room for a user, a port, a query, a fragment or an escape.
  while (slash != std::string_view::npos) {
    text.remove_prefix(slash + 1);
    slash = text.find('/');
    if (!IsPathSegment(text.substr(0, slash))) return false;
  }
  return true;
}

}  // namespace tokend::identity
