#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "daemon/base/passkey.h"

namespace tokend {

namespace config {
struct Grant;
}
namespace policy {
class Policy;
}

// A grant covers the request: what is to be minted, with all defaults and templates resolved.
class Permitted {
 public:
  Permitted(Passkey<policy::Policy>, std::shared_ptr<const config::Grant> grant,
            std::vector<std::string> scopes, std::string description)
      : grant_(std::move(grant)), scopes_(std::move(scopes)), description_(std::move(description)) {}

  // As configured; lives on with this, whatever is configured meanwhile.
  const config::Grant& grant() const { return *grant_; }
  // Sorted, no two alike, never empty.
  const std::vector<std::string>& scopes() const { return scopes_; }
  // The grant's template applied. Not yet held to the upstream's maximum length.
  const std::string& description() const { return description_; }

 private:
  std::shared_ptr<const config::Grant> grant_;
  std::vector<std::string> scopes_;
  std::string description_;
};

// No grant covers the request. A value to be audited, not an error.
struct Denied {
  std::string missing;  // for the audit record alone: the nearest grant's first condition that failed
};

using Decision = std::variant<Permitted, Denied>;

}  // namespace tokend
