#include "daemon/policy/policy.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace tokend::policy {
namespace {

std::vector<std::string> Sorted(std::vector<std::string> scopes) {
  std::sort(scopes.begin(), scopes.end());
  return scopes;
}

std::vector<std::string> Configured(const PatternSet& patterns,
                                    const std::vector<config::Organization>& organizations) {
  std::vector<std::string> names;
  for (const config::Organization& organization : organizations) {
    if (patterns.Matches(organization.name)) names.push_back(organization.name);
  }
  return names;
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// In one pass: what a placeholder brings in is text, whatever it looks like.
std::string Expand(std::string_view description_template, const Caller& caller, const TokenRequest& request) {
  const std::array<std::pair<std::string_view, std::string_view>, 3> placeholders = {{
      {"{description}", request.description()},
      {"{caller}", caller.name()},
      {"{request_id}", request.request_id()},
  }};
  std::string text;
  while (!description_template.empty()) {
    const auto* placeholder = std::find_if(placeholders.begin(), placeholders.end(), [&](const auto& entry) {
      return description_template.starts_with(entry.first);
    });
    if (placeholder != placeholders.end()) {
      text += placeholder->second;
      description_template.remove_prefix(placeholder->first.size());
    } else {
      text += description_template.front();
      description_template.remove_prefix(1);
    }
  }
  return text;
}

}  // namespace

Policy::Policy(const std::vector<config::Grant>& grants,
               const std::vector<config::Organization>& organizations) {
  if (organizations.size() == 1) default_organization_ = organizations.front().name;
  grants_.reserve(grants.size());
  for (const config::Grant& grant : grants) {
    CompiledGrant compiled{grant, PatternSet(grant.callers), PatternSet(grant.applications)};
    compiled.grant.organizations = Configured(PatternSet(grant.organizations), organizations);
    compiled.grant.scopes = Sorted(std::move(compiled.grant.scopes));
    compiled.grant.default_scopes = Sorted(std::move(compiled.grant.default_scopes));
    grants_.push_back(std::move(compiled));
  }
}

Decision Policy::Decide(const Caller& caller, const TokenRequest& request) const {
  // How far the best grant came, in the order of the conditions: what it lacked is what was missing.
  enum Condition { kCaller, kOrganization, kApplication, kScopes };
  constexpr std::array<std::string_view, 4> kMissing = {
      "no grant names this caller",
      "no grant that names this caller covers this organization",
      "no grant that names this caller covers this application",
      "no grant that names this caller covers these scopes",
  };
  Condition furthest = kCaller;
  for (const CompiledGrant& compiled : grants_) {
    const config::Grant& grant = compiled.grant;
    if (!compiled.callers.Matches(caller.name())) continue;
    if (!Contains(grant.organizations, request.organization())) {
      furthest = std::max(furthest, kOrganization);
    } else if (!compiled.applications.Matches(request.application())) {
      furthest = std::max(furthest, kApplication);
    } else if (!std::includes(grant.scopes.begin(), grant.scopes.end(), request.scopes().begin(),
                              request.scopes().end())) {
      furthest = kScopes;
    } else {
      return Permitted(Passkey<Policy>(), grant.name,
                       request.scopes().empty() ? grant.default_scopes : request.scopes(),
                       Expand(grant.description_template, caller, request));
    }
  }
  return Denied{std::string(kMissing[furthest])};
}

std::vector<const config::Grant*> Policy::GrantsOf(const Caller& caller) const {
  std::vector<const config::Grant*> named;
  for (const CompiledGrant& compiled : grants_) {
    if (compiled.callers.Matches(caller.name())) named.push_back(&compiled.grant);
  }
  return named;
}

}  // namespace tokend::policy
