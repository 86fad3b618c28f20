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

// Replaces the placeholders in one pass, so that a placeholder in an inserted text is not replaced.
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
      const std::size_t plain = std::min(description_template.find('{', 1), description_template.size());
      text += description_template.substr(0, plain);
      description_template.remove_prefix(plain);
    }
  }
  return text;
}

std::string_view MissingFor(Condition condition) {
  switch (condition) {
    case Condition::kCaller:
      return "no grant names this caller";
    case Condition::kOrganization:
      return "no grant that names this caller covers this organization";
    case Condition::kApplication:
      return "no grant that names this caller covers this application";
    case Condition::kScopes:
      return "no grant that names this caller covers these scopes";
  }
  return "";
}

}  // namespace

std::string_view Name(Condition condition) {
  switch (condition) {
    case Condition::kCaller:
      return "caller";
    case Condition::kOrganization:
      return "organization";
    case Condition::kApplication:
      return "application";
    case Condition::kScopes:
      return "scopes";
  }
  return "";
}

Policy::Policy(const std::vector<config::Grant>& grants,
               const std::vector<config::Organization>& organizations) {
  if (organizations.size() == 1) default_organization_ = organizations.front().name;
  for (const config::Organization& organization : organizations) organizations_.push_back(organization.name);
  organizations_ = Sorted(std::move(organizations_));

  grants_.reserve(grants.size());
  for (const config::Grant& grant : grants) {
    auto sorted = std::make_shared<config::Grant>(grant);
    sorted->scopes = Sorted(std::move(sorted->scopes));
    sorted->default_scopes = Sorted(std::move(sorted->default_scopes));
    const PatternSet covered(grant.organizations);
    std::vector<bool> covers;
    covers.reserve(organizations_.size());
    for (const std::string& name : organizations_) covers.push_back(covered.Matches(name));
    for (const std::string& pattern : grant.callers) {
      callers_.Add(pattern, static_cast<PatternIndex::Item>(grants_.size()));
    }
    grants_.push_back({std::move(sorted), PatternSet(grant.applications), std::move(covers)});
  }
}

std::optional<Condition> Policy::CompiledGrant::FirstFailure(const Question& question,
                                                             std::optional<std::size_t> organization) const {
  if (!organization || !organizations[*organization]) return Condition::kOrganization;
  if (!applications.Matches(question.application)) return Condition::kApplication;
  const std::vector<std::string>& scopes = grant->scopes;
  if (!std::includes(scopes.begin(), scopes.end(), question.scopes.begin(), question.scopes.end())) {
    return Condition::kScopes;
  }
  return std::nullopt;
}

std::optional<std::size_t> Policy::IndexOf(std::string_view organization) const {
  const auto found = std::lower_bound(organizations_.begin(), organizations_.end(), organization);
  if (found == organizations_.end() || *found != organization) return std::nullopt;
  return static_cast<std::size_t>(found - organizations_.begin());
}

Policy::Found Policy::Find(const Question& question) const {
  Found found;
  const std::optional<std::size_t> organization = IndexOf(question.organization);
  for (const PatternIndex::Item item : callers_.Matching(question.caller)) {
    const std::optional<Condition> failed = grants_[item].FirstFailure(question, organization);
    if (!failed) return {&grants_[item], Condition::kCaller};
    found.furthest = std::max(found.furthest, *failed);
  }
  return found;
}

Decision Policy::Decide(const Caller& caller, const TokenRequest& request) const {
  const Found found = Find({caller.name(), request.organization(), request.application(), request.scopes()});
  if (found.grant == nullptr) return Denied{std::string(MissingFor(found.furthest))};
  const config::Grant& grant = *found.grant->grant;
  return Permitted(Passkey<Policy>(), found.grant->grant,
                   request.scopes().empty() ? grant.default_scopes : request.scopes(),
                   Expand(grant.description_template, caller, request));
}

Policy::Answer Policy::Ask(const Question& question) const {
  const Found found = Find(question);
  return {found.grant != nullptr ? found.grant->grant.get() : nullptr, found.furthest};
}

std::vector<Verdict> Policy::Explain(const Question& question) const {
  const PatternIndex::Items named = callers_.Matching(question.caller);
  const std::optional<std::size_t> organization = IndexOf(question.organization);
  std::vector<Verdict> verdicts;
  verdicts.reserve(grants_.size());
  for (std::size_t i = 0; i < grants_.size(); ++i) {
    const bool names_caller = std::binary_search(named.begin(), named.end(), i);
    verdicts.push_back({grants_[i].grant.get(), names_caller ? grants_[i].FirstFailure(question, organization)
                                                             : std::optional(Condition::kCaller)});
  }
  return verdicts;
}

std::vector<CallerGrant> Policy::GrantsOf(std::string_view caller) const {
  std::vector<CallerGrant> named;
  for (const PatternIndex::Item item : callers_.Matching(caller)) {
    CallerGrant& grant = named.emplace_back(CallerGrant{grants_[item].grant.get(), {}});
    for (std::size_t i = 0; i < organizations_.size(); ++i) {
      if (grants_[item].organizations[i]) grant.organizations.push_back(organizations_[i]);
    }
  }
  return named;
}

}  // namespace tokend::policy
