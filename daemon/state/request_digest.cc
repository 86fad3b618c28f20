#include "daemon/base/sha256.h"
#include "daemon/state/state.h"

namespace tokend::state {

RequestDigest DigestOf(std::string_view caller, std::string_view organization, std::string_view application,
                       const std::vector<std::string>& scopes, std::string_view description) {
  // Each part behind its length, so that no two lists of parts give the same bytes.
  std::string parts;
  auto add = [&](std::string_view part) {
    parts += std::to_string(part.size());
    parts += ':';
    parts += part;
  };
  add(caller);
  add(organization);
  add(application);
  add(description);
  for (const std::string& scope : scopes) add(scope);
  return Sha256(parts);
}

}  // namespace tokend::state
