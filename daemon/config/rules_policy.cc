#include <algorithm>
#include <set>
#include <string>

#include "daemon/base/pattern.h"
#include "daemon/base/text.h"
#include "daemon/config/nearest.h"
#include "daemon/config/schema.h"
#include "daemon/config/steps.h"

namespace tokend::config {
namespace {

// Empty where an organization has no valid name: a grant that means it would otherwise be reported.
std::set<std::string> ConfiguredOrganizations(const v1::Upstream& upstream) {
  std::set<std::string> names;
  for (const v1::Organization& organization : OrganizationsOf(upstream)) {
    if (!organization.has_name()) return {};
    names.insert(organization.name());
  }
  return names;
}

// How many names may still be suggested: each wrong one is compared with up to a thousand names.
using Suggestions = int;

// "; did you mean …?" or nothing.
template <class Names>
std::string SuggestFor(const std::string& wrong, const Names& known, Suggestions& left) {
  if (left == 0) return "";
  --left;
  return Suggest(Nearest(wrong, {known.begin(), known.end()}));
}

void CheckOrganizations(const v1::Grant& grant, const std::set<std::string>& configured,
                        const std::string& path, Suggestions& suggestions, Report& report) {
  for (int i = 0; i < grant.organizations_size(); ++i) {
    const std::string& text = grant.organizations(i);
    const std::string item = Item(Under(path, "organizations"), i);
    if (text.empty()) continue;
    if (!Contains(text, '*')) {
      if (configured.count(text) != 0) continue;
      report.Error(item,
                   Concat({"is not a configured organization", SuggestFor(text, configured, suggestions)}));
      continue;
    }
    const PatternSet pattern({text});
    if (std::none_of(configured.begin(), configured.end(),
                     [&](const std::string& name) { return pattern.Matches(name); })) {
      report.Warning(item, "matches no configured organization");
    }
  }
}

// A relay knows only the organizations that its grants name.
void CheckRelayOrganizations(const v1::Grant& grant, const std::string& path, Report& report) {
  const std::string key = Under(path, "organizations");
  if (!report.Has(key)) {
    return report.Error(key, "is required with upstream.tokend: name each organization of the grant");
  }
  for (int i = 0; i < grant.organizations_size(); ++i) {
    if (!Contains(grant.organizations(i), '*')) continue;
    report.Error(Item(key, i),
                 "must be a name with upstream.tokend: a relay has no list of organizations for a pattern");
  }
}

void CheckDefaultScopes(v1::Grant& grant, const std::string& path, Suggestions& suggestions, Report& report) {
  const std::string key = Under(path, "default_scopes");
  if (!report.Has(key)) *grant.mutable_default_scopes() = grant.scopes();
  for (int i = 0; i < grant.default_scopes_size(); ++i) {
    const auto& scopes = grant.scopes();
    const std::string& scope = grant.default_scopes(i);
    if (scope.empty() || std::find(scopes.begin(), scopes.end(), scope) != scopes.end()) continue;
    report.Error(Item(key, i),
                 Concat({"is not one of the grant's scopes", SuggestFor(scope, scopes, suggestions)}));
  }
}

}  // namespace

void ApplyPolicyRules(v1::Config& schema, Report& report) {
  const std::set<std::string> configured = ConfiguredOrganizations(schema.upstream());
  v1::Policy& policy = *schema.mutable_policy();
  Suggestions suggestions = 100;
  for (int i = 0; i < policy.grants_size(); ++i) {
    const std::string path = Item("policy.grants", i);
    if (schema.upstream().has_tokend()) CheckRelayOrganizations(policy.grants(i), path, report);
    if (!configured.empty()) CheckOrganizations(policy.grants(i), configured, path, suggestions, report);
    CheckDefaultScopes(*policy.mutable_grants(i), path, suggestions, report);
  }
  if (report.Has("policy.grants") && policy.grants_size() == 0) {
    report.Warning("policy.grants", "is empty: every request is denied");
  }
  LintPolicy(schema, configured, report);
}

}  // namespace tokend::config
