#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/caller.h"
#include "daemon/base/decision.h"
#include "daemon/base/pattern.h"
#include "daemon/base/pattern_index.h"
#include "daemon/base/token_request.h"
#include "daemon/config/config.h"

namespace tokend::policy {

// A question to a policy. Scopes are sorted; no scopes mean the default scopes of the grant.
struct Question {
  std::string_view caller;
  std::string_view organization;
  std::string_view application;
  const std::vector<std::string>& scopes;
};

// The conditions of a grant, in the order in which they are checked.
enum class Condition { kCaller, kOrganization, kApplication, kScopes };

// "caller", "organization", "application" or "scopes".
std::string_view Name(Condition condition);

// One grant's answer to a question: the first condition that failed, or nothing if the grant matches.
struct Verdict {
  const config::Grant* grant;
  std::optional<Condition> failed;
};

// A grant as it applies to one caller: `organizations` are the configured ones that its patterns match.
struct CallerGrant {
  const config::Grant* grant;
  std::vector<std::string> organizations;
};

// The first grants that name a caller, in order.
struct CallerGrants {
  static constexpr std::size_t kMax = 200;
  std::vector<CallerGrant> grants;
  bool more = false;  // more than kMax grants name the caller
};

// Decides which caller may have which tokens. Only a grant permits a request, and the first grant that
// matches decides. Compiled once, then immutable and without I/O: any thread. The cost of a decision depends
// only on the grants that name the caller.
//
// The duration of a decision is not constant. It depends on the grants that name the caller and on their
// patterns. With few such grants it varies by about a microsecond, which is not measurable in a call. With
// thousands of grants it can take milliseconds, and from that a caller can learn which of its own grants came
// close.
class Policy {
 public:
  // `organizations` are the configured ones.
  Policy(std::vector<config::Grant> grants, const std::vector<config::Organization>& organizations);

  Decision Decide(const Caller& caller, const TokenRequest& request) const;

  // Decides whether what an earlier call had minted is permitted now. `description`: of that token.
  Decision DecideAgain(const Question& minted, std::string description) const;

  // `grant` is the grant that decides. If it is null the question is denied, and `furthest` is the failed
  // condition of the grant that met the most conditions.
  struct Answer {
    std::shared_ptr<const config::Grant> grant;
    Condition furthest = Condition::kCaller;
  };
  Answer Ask(const Question& question) const;

  // The answer of every grant, in order. The first grant that matches decides.
  std::vector<Verdict> Explain(const Question& question) const;

  // Whether any grant names this caller.
  bool Names(std::string_view caller) const { return !callers_.Matching(caller).empty(); }

  // The grants that name this caller. Valid as long as the policy lives.
  CallerGrants GrantsOf(std::string_view caller) const;

  // The organization of a request that names none: the only one configured. Empty if several are configured.
  const std::string& default_organization() const { return default_organization_; }

  // Whether its grants name one caller and no pattern.
  bool names_one_caller() const { return names_one_caller_; }

 private:
  struct CompiledGrant {
    std::shared_ptr<const config::Grant> grant;  // scopes sorted
    PatternSet applications;
    std::vector<bool> organizations;  // whether the grant covers organizations_[i]

    // The first condition that fails, of those after the caller. `organization` is an index of
    // organizations_, or nothing if the organization is not configured.
    std::optional<Condition> FirstFailure(const Question& question,
                                          std::optional<std::size_t> organization) const;
  };

  std::optional<std::size_t> IndexOf(std::string_view organization) const;

  std::vector<CompiledGrant> grants_;
  PatternIndex callers_;                    // finds the indexes of grants_ by caller
  std::vector<std::string> organizations_;  // sorted
  std::string default_organization_;
  bool names_one_caller_;
};

}  // namespace tokend::policy
