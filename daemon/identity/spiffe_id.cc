#include "daemon/identity/spiffe_id.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "daemon/base/caller_name.h"
#include "daemon/base/text.h"

namespace tokend::identity {
namespace {

constexpr std::size_t kMaxIdBytes = 2048;

bool IsPathSegment(std::string_view text) {
  return text != "." && text != ".." && ConsistsOf(text, text.size(), ".-_");
}

}  // namespace

bool IsWorkloadSpiffeId(std::string_view text) {
  if (text.size() > kMaxIdBytes || !text.starts_with(kSpiffePrefix)) return false;
  text.remove_prefix(kSpiffePrefix.size());

  // The characters allowed leave no room for a user, a port, a query, a fragment or an escape.
  const std::vector<std::string_view> parts = Split(text, '/');
  return parts.size() > 1 && IsTrustDomain(parts.front()) &&
         std::all_of(parts.begin() + 1, parts.end(), IsPathSegment);
}

}  // namespace tokend::identity
