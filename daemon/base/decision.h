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

// A grant permits the request. This is what to mint, with all defaults and templates resolved.
class Permitted {
 public:
  Permitted(Passkey<policy::Policy>, std::shared_ptr<const config::Grant> grant,
            std::vector<std::string> scopes, std::string description)
      : grant_(std::move(grant)), scopes_(std::move(scopes)), description_(std::move(description)) {}

  // The grant as configured. It stays valid after a reload, as long as this object lives.
  const config::Grant& grant() const { return *grant_; }
  // Sorted, without duplicates, never empty.
  const std::vector<std::string>& scopes() const { return scopes_; }
  // The grant's template with its placeholders replaced. It may exceed the upstream's maximum length.
  const std::string& description() const { return description_; }

 private:
  std::shared_ptr<const config::Grant> grant_;
  std::vector<std::string> scopes_;
  std::string description_;
};

// No grant permits the request. This is an ordinary result that gets an audit record, not an error.
struct Denied {
  // The first condition that failed in the closest grant. For the audit record only, never for the caller.
  std::string missing;
};

using Decision = std::variant<Permitted, Denied>;

}  // namespace tokend
