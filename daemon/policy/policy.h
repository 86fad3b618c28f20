#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/caller.h"
#include "daemon/base/decision.h"
#include "daemon/base/pattern.h"
#include "daemon/base/token_request.h"
#include "daemon/config/config.h"

namespace tokend::policy {

// Which caller may have which tokens: nothing but by a grant, and the first grant that matches decides.
// Compiled once, immutable, pure: any thread, no I/O, no waiting.
class Policy {
 public:
  // A grant's patterns of organizations stand for those of `organizations`, the configured ones, that match.
  Policy(const std::vector<config::Grant>& grants, const std::vector<config::Organization>& organizations);

  Decision Decide(const Caller& caller, const TokenRequest& request) const;

  // The grants that name this caller, in order, with the organizations that they stand for. Valid as long as
  // this is.
  std::vector<const config::Grant*> GrantsOf(const Caller& caller) const;

  // The organization that a request without one means: the only one configured. Empty where there are
  // several.
  const std::string& default_organization() const { return default_organization_; }

 private:
  struct CompiledGrant {
    config::Grant grant;
    PatternSet callers;
    PatternSet applications;
  };

  std::vector<CompiledGrant> grants_;
  std::string default_organization_;
};

}  // namespace tokend::policy
