#include "daemon/policy/policy.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_replace.h"

namespace tokend::policy {
namespace {

std::vector<std::string> Sorted(std::vector<std::string> scopes) {
  std::sort(scopes.begin(), scopes.end());
  return scopes;
}

// In one pass, so that a placeholder in an inserted text is not replaced.
std::string Expand(const std::string& description_template, const Caller& caller,
                   const TokenRequest& request) {
  const std::optional<Relayed>& relayed = request.relayed();
  return absl::StrReplaceAll(description_template,
                             {{"{description}", request.description()},
                              {"{caller}", caller.name()},
                              {"{request_id}", request.request_id()},
                              {"{on_behalf_of}", relayed ? relayed->on_behalf_of : ""}});
}

struct ConditionWords {
  std::string_view name;
  std::string_view missing;  // why a question is denied
};

constexpr std::array<ConditionWords, 4> kWords = {{
    {"caller", "no grant names this caller"},
    {"organization", "no grant that names this caller covers this organization"},
    {"application", "no grant that names this caller covers this application"},
    {"scopes", "no grant that names this caller covers these scopes"},
}};

const ConditionWords& WordsOf(Condition condition) { return kWords[static_cast<std::size_t>(condition)]; }

}  // namespace

std::string_view Name(Condition condition) { return WordsOf(condition).name; }

Policy::Policy(std::vector<config::Grant> grants, const std::vector<config::Organization>& organizations)
    : names_one_caller_(config::NamesOneCaller(grants)) {
  if (organizations.size() == 1) default_organization_ = organizations.front().name;
  for (const config::Organization& organization : organizations) organizations_.push_back(organization.name);
  organizations_ = Sorted(std::move(organizations_));

  grants_.reserve(grants.size());
  for (config::Grant& grant : grants) {
    const PatternSet covered(grant.organizations);
    std::vector<bool> covers;
    covers.reserve(organizations_.size());
    for (const std::string& name : organizations_) covers.push_back(covered.Matches(name));
    for (const std::string& pattern : grant.callers) {
      callers_.Add(pattern, static_cast<PatternIndex::Item>(grants_.size()));
    }
    PatternSet applications(grant.applications);
    grant.scopes = Sorted(std::move(grant.scopes));
    grant.default_scopes = Sorted(std::move(grant.default_scopes));
    grants_.push_back({std::make_shared<const config::Grant>(std::move(grant)), std::move(applications),
                       std::move(covers)});
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

Policy::Answer Policy::Ask(const Question& question) const {
  Answer answer;
  const std::optional<std::size_t> organization = IndexOf(question.organization);
  for (const PatternIndex::Item item : callers_.Matching(question.caller)) {
    const std::optional<Condition> failed = grants_[item].FirstFailure(question, organization);
    if (!failed) return {grants_[item].grant, Condition::kCaller};
    answer.furthest = std::max(answer.furthest, *failed);
  }
  return answer;
}

Decision Policy::Decide(const Caller& caller, const TokenRequest& request) const {
  const auto [grant, furthest] =
      Ask({caller.name(), request.organization(), request.application(), request.scopes()});
  if (grant == nullptr) return Denied{std::string(WordsOf(furthest).missing)};
  return Permitted(Passkey<Policy>(), grant,
                   request.scopes().empty() ? grant->default_scopes : request.scopes(),
                   Expand(grant->description_template, caller, request));
}

Decision Policy::DecideAgain(const Question& minted, std::string description) const {
  auto [grant, furthest] = Ask(minted);
  if (grant == nullptr) return Denied{std::string(WordsOf(furthest).missing)};
  return Permitted(Passkey<Policy>(), std::move(grant), minted.scopes, std::move(description));
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

CallerGrants Policy::GrantsOf(std::string_view caller) const {
  const PatternIndex::Items items = callers_.Matching(caller);
  CallerGrants named{{}, items.size() > CallerGrants::kMax};
  for (std::size_t at = 0; at < std::min(items.size(), CallerGrants::kMax); ++at) {
    const PatternIndex::Item item = items[at];
    CallerGrant& grant = named.grants.emplace_back(CallerGrant{grants_[item].grant.get(), {}});
    for (std::size_t i = 0; i < organizations_.size(); ++i) {
      if (grants_[item].organizations[i]) grant.organizations.push_back(organizations_[i]);
    }
  }
  return named;
}

}  // namespace tokend::policy
