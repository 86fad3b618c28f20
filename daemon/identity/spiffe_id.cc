#include "daemon/identity/spiffe_id.h"

#include <algorithm>
#include <cstddef>

#include "daemon/base/caller_name.h"

namespace tokend::identity {
namespace {

constexpr std::size_t kMaxIdBytes = 2048;

bool IsPathCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
         c == '_';
}

bool IsPathSegment(std::string_view text) {
  return !text.empty() && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), IsPathCharacter);
}

}  // namespace

bool IsWorkloadSpiffeId(std::string_view text) {
  if (text.size() > kMaxIdBytes || !text.starts_with(kSpiffePrefix)) return false;
  text.remove_prefix(kSpiffePrefix.size());

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
