#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/base/caller_name.h"
#include "daemon/base/pattern.h"
#include "daemon/base/pattern_index.h"
#include "daemon/base/text.h"
#include "daemon/config/steps.h"

namespace tokend::config {
namespace {

// A pattern with fewer literal characters matches nearly every name of its kind.
constexpr std::ptrdiff_t kLeastLiteral = 3;
// Comparisons of a pattern with a name or with another pattern.
constexpr std::size_t kMostComparisons = 1'000'000;
constexpr std::size_t kMostNamed = 3;

// The text before the first wildcard.
std::string_view FixedPart(std::string_view pattern) { return pattern.substr(0, pattern.find('*')); }

bool OneBeginsTheOther(std::string_view a, std::string_view b) {
  return a.starts_with(b.substr(0, a.size())) && b.starts_with(a.substr(0, b.size()));
}

// Whether names of every trust domain can match.
bool CrossesTrustDomains(std::string_view pattern) {
  const std::string_view fixed = FixedPart(pattern);
  if (fixed.starts_with(kSpiffePrefix)) return !Contains(fixed.substr(kSpiffePrefix.size()), '/');
  return kSpiffePrefix.starts_with(fixed) && pattern.substr(fixed.size()).starts_with("**");
}

// The place of a pattern in a grant. Its text is made only for a warning.
struct PatternPlace {
  int grant;
  std::string_view list;
  int item;

  std::string Text() const { return Item(Under(Item("policy.grants", grant), list), item); }
};

void CheckBreadth(std::string_view pattern, const PatternPlace& place, Report& report) {
  if (!Contains(pattern, '*')) return;
  if (CrossesTrustDomains(pattern)) {
    report.Warning(
        place.Text(),
        "can match callers of every trust domain: name one, as in spiffe://example.org/ns/ci/sa/*");
  }
  const std::string_view kind = ReservedPrefixOf(pattern);
  if (kind == kUnixPrefix) return;  // its names are a list in the same file
  const std::string_view own = pattern.substr(kind.size());
  const auto literal = static_cast<std::ptrdiff_t>(own.size()) - std::count(own.begin(), own.end(), '*');
  if (literal < kLeastLiteral) {
    report.Warning(place.Text(), Concat({"matches nearly every caller of its kind: it has fewer than ",
                                         std::to_string(kLeastLiteral), " characters beside wildcards"}));
  }
}

// Names of applications and their ids, 24 hex digits, are matched by the same patterns.
void CheckIds(std::string_view pattern, const PatternPlace& place, Report& report) {
  constexpr std::size_t kIdDigits = 24;
  if (pattern == "*" || !Contains(pattern, '*') || pattern.size() > kIdDigits) return;
  if (!std::all_of(pattern.begin(), pattern.end(), [](char c) { return c == '*' || IsHexDigit(c); })) return;
  report.Warning(
      place.Text(),
      "also matches ids, which are 24 hex digits, and so applications of any name: add a character "
      "that no id has, such as \"-\"");
}

// The names of callers that the listeners can produce.
class MakeableCallers {
 public:
  explicit MakeableCallers(const v1::Config& schema) {
    for (const v1::Listener& listener : schema.listeners()) {
      const v1::Authentication& authentication = listener.authentication();
      switch (authentication.kind_case()) {
        case v1::Authentication::kUnix:
          for (const v1::UnixCaller& caller : authentication.unix().callers()) names_.insert(caller.name());
          break;
        case v1::Authentication::kMtls:
          beginnings_.insert({std::string(kSpiffePrefix), std::string(kDnsPrefix)});
          break;
        case v1::Authentication::kJwt:
          any_unreserved_ = true;
          if (const std::string& domain = authentication.jwt().trust_domain(); !domain.empty()) {
            beginnings_.insert(Concat({kSpiffePrefix, domain, "/"}));
          }
          break;
        case v1::Authentication::kNone:
          names_.insert(authentication.none().caller());
          break;
        case v1::Authentication::KIND_NOT_SET:
          known_ = false;
      }
    }
    known_ = known_ && names_.count("") == 0;
  }

  // False only where it is certain.
  bool CanMake(const std::string& pattern) {
    if (!known_) return true;
    const bool literal = !Contains(pattern, '*');
    if (literal && names_.count(pattern) != 0) return true;
    const std::string_view fixed = FixedPart(pattern);
    if (any_unreserved_ && ReservedPrefixOf(fixed).empty()) return true;
    if (std::any_of(beginnings_.begin(), beginnings_.end(), [&](const std::string& beginning) {
          return literal ? fixed.starts_with(beginning) : OneBeginsTheOther(fixed, beginning);
        })) {
      return true;
    }
    if (literal) return false;
    const Result<Pattern> parsed = Pattern::Parse(pattern);
    if (!parsed.ok()) return true;
    // Names are sorted: those that begin like the pattern are neighbours.
    for (auto name = names_.lower_bound(std::string(fixed)); name != names_.end() && name->starts_with(fixed);
         ++name) {
      if (budget_ == 0 || parsed->Matches(*name)) return true;
      --budget_;
    }
    return false;
  }

 private:
  bool known_ = true;  // the authentication of every listener is valid
  bool any_unreserved_ = false;
  std::size_t budget_ = kMostComparisons;
  std::set<std::string> names_;
  std::set<std::string> beginnings_;
};

// Finds grants that never decide: each of their callers' patterns is covered by a pattern of an earlier
// grant, which also covers all their organizations, applications and scopes.
class ShadowSearch {
 public:
  ShadowSearch(const v1::Policy& policy, const std::set<std::string>& organizations, Report& report)
      : policy_(policy), report_(report), organizations_(organizations.begin(), organizations.end()) {}

  void Run() {
    for (std::size_t i = 0; i < static_cast<std::size_t>(policy_.grants_size()); ++i) {
      Judge(i);
      for (const std::string& caller : GrantAt(i).callers()) {
        index_.Add(caller, static_cast<PatternIndex::Item>(i));
      }
    }
    if (budget_ == 0) {
      report_.Warning("policy.grants",
                      "has too many grants for the same callers: not all were checked for ones that never "
                      "decide");
    }
  }

 private:
  struct Compiled {
    std::vector<bool> organizations;
    PatternSet applications;
    std::size_t application_count;
    std::set<std::string> scopes;
  };

  const v1::Grant& GrantAt(std::size_t i) const { return policy_.grants(static_cast<int>(i)); }

  // Most grants share no caller with an earlier one, and are never compiled.
  const Compiled& CompiledAt(std::size_t i) {
    const auto found = compiled_.find(i);
    return found != compiled_.end() ? found->second : compiled_.emplace(i, Compile(GrantAt(i))).first->second;
  }

  Compiled Compile(const v1::Grant& grant) const {
    const PatternSet covered(Texts(grant.organizations()));
    std::vector<bool> covers;
    covers.reserve(organizations_.size());
    for (const std::string& name : organizations_) covers.push_back(covered.Matches(name));
    return {std::move(covers),
            PatternSet(Texts(grant.applications())),
            static_cast<std::size_t>(grant.applications_size()),
            {grant.scopes().begin(), grant.scopes().end()}};
  }

  void Spend(std::size_t comparisons) { budget_ -= std::min(budget_, comparisons); }

  bool TakesAllOf(const Compiled& earlier, const Compiled& later) {
    Spend(1 + organizations_.size() / 64);
    if (!std::includes(earlier.scopes.begin(), earlier.scopes.end(), later.scopes.begin(),
                       later.scopes.end())) {
      return false;
    }
    for (std::size_t i = 0; i < organizations_.size(); ++i) {
      if (later.organizations[i] && !earlier.organizations[i]) return false;
    }
    Spend(earlier.application_count * later.application_count);
    return earlier.applications.Covers(later.applications);
  }

  // The first earlier grant that decides for all of this pattern's callers in place of grant i.
  std::optional<std::size_t> TakerOf(const std::string& caller, std::size_t i) {
    for (const std::size_t earlier : index_.Covering(caller, static_cast<PatternIndex::Item>(i), budget_)) {
      if (budget_ == 0) return std::nullopt;
      if (TakesAllOf(CompiledAt(earlier), CompiledAt(i))) return earlier;
    }
    return std::nullopt;
  }

  void Judge(std::size_t i) {
    const auto& callers = GrantAt(i).callers();
    std::vector<std::optional<std::size_t>> takers;
    std::vector<std::string> named;
    for (const std::string& caller : callers) {
      takers.push_back(TakerOf(caller, i));
      if (!takers.back()) continue;
      std::string path = Item("policy.grants", *takers.back());
      if (std::find(named.begin(), named.end(), path) == named.end()) named.push_back(std::move(path));
    }
    if (named.empty()) return;
    if (std::all_of(takers.begin(), takers.end(), [](const auto& taker) { return taker.has_value(); })) {
      if (named.size() > kMostNamed) {
        named.resize(kMostNamed);
        named.emplace_back("…");
      }
      return report_.Warning(Item("policy.grants", i),
                             Concat({"can never decide: everything that it could permit is permitted by ",
                                     Enumerate(named), " before it"}));
    }
    for (std::size_t j = 0; j < takers.size(); ++j) {
      if (!takers[j]) continue;
      report_.Warning(Item(Under(Item("policy.grants", i), "callers"), j),
                      Concat({"has no effect: everything that it could permit these callers is permitted by ",
                              Item("policy.grants", *takers[j]), " before it"}));
    }
  }

  const v1::Policy& policy_;
  Report& report_;
  const std::vector<std::string> organizations_;
  std::unordered_map<std::size_t, Compiled> compiled_;  // by the index of the grant
  PatternIndex index_;                                  // callers of the grants so far
  std::size_t budget_ = kMostComparisons;
};

// The configured organizations; where the configuration lists none, those that grants name.
std::set<std::string> KnownOrganizations(const v1::Policy& policy, const std::set<std::string>& configured) {
  if (!configured.empty()) return configured;
  std::set<std::string> names;
  for (const v1::Grant& grant : policy.grants()) {
    for (const std::string& text : grant.organizations()) {
      if (!text.empty() && !Contains(text, '*')) names.insert(text);
    }
  }
  return names;
}

}  // namespace

void LintPolicy(const v1::Config& schema, const std::set<std::string>& organizations, Report& report) {
  const v1::Policy& policy = schema.policy();
  MakeableCallers makeable(schema);
  for (int i = 0; i < policy.grants_size(); ++i) {
    for (int j = 0; j < policy.grants(i).callers_size(); ++j) {
      const std::string& caller = policy.grants(i).callers(j);
      if (caller.empty()) continue;
      const PatternPlace place{i, "callers", j};
      CheckBreadth(caller, place, report);
      if (!makeable.CanMake(caller)) report.Warning(place.Text(), "no listener can name a caller so");
    }
    for (int j = 0; j < policy.grants(i).applications_size(); ++j) {
      CheckIds(policy.grants(i).applications(j), {i, "applications", j}, report);
    }
  }
  const std::set<std::string> known = KnownOrganizations(policy, organizations);
  if (!known.empty()) ShadowSearch(policy, known, report).Run();
}

}  // namespace tokend::config
