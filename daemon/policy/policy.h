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

// What a policy is asked. Scopes are sorted; none: the grant's default ones.
struct Question {
  std::string_view caller;
  std::string_view organization;
  std::string_view application;
  const std::vector<std::string>& scopes;
};

// What a grant asks for, in this order.
enum class Condition { kCaller, kOrganization, kApplication, kScopes };

// "caller", "organization", "application" or "scopes".
std::string_view Name(Condition condition);

// What one grant says to a question: the first condition that failed, or nothing, where it matches.
struct Verdict {
  const config::Grant* grant;
  std::optional<Condition> failed;
};

// A grant for one caller: its patterns of organizations stand for those configured that match.
struct CallerGrant {
  const config::Grant* grant;
  std::vector<std::string> organizations;
};

// Which caller may have which tokens: nothing but by a grant, and the first grant that matches decides.
// Compiled once, immutable, pure: any thread, no I/O, no waiting. What it costs depends on the grants that
// name the caller, not on all of them.
//
// A denial takes no other way out than a permission: how long the decision takes varies, by the grants that
// name the caller and by what they compare, within about a microsecond where few do, and is then lost in the
// call around it. It is not made constant. Where thousands of grants name one caller it comes to
// milliseconds, and what that caller can learn from it is which of its own grants came close.
class Policy {
 public:
  // `organizations` are the configured ones.
  Policy(const std::vector<config::Grant>& grants, const std::vector<config::Organization>& organizations);

  Decision Decide(const Caller& caller, const TokenRequest& request) const;

  // The grant that decides; null: the question is denied, and `furthest` is the condition that the grant
  // which came furthest lacked. Valid as long as this is.
  struct Answer {
    const config::Grant* grant = nullptr;
    Condition furthest = Condition::kCaller;
  };
  Answer Ask(const Question& question) const;

  // What every grant says, in order. The first that matches is the one that decides.
  std::vector<Verdict> Explain(const Question& question) const;

  // The grants that name this caller, in order. Valid as long as this is.
  std::vector<CallerGrant> GrantsOf(std::string_view caller) const;

  // The organization that a request without one means: the only one configured. Empty where there are
  // several.
  const std::string& default_organization() const { return default_organization_; }

 private:
  struct CompiledGrant {
    std::shared_ptr<const config::Grant> grant;  // scopes sorted
    PatternSet applications;
    std::vector<bool> organizations;  // of those configured, in their order

    // The first condition after the caller that fails. `organization`: its place among those configured.
    std::optional<Condition> FirstFailure(const Question& question,
                                          std::optional<std::size_t> organization) const;
  };
  struct Found {
    const CompiledGrant* grant = nullptr;
    Condition furthest = Condition::kCaller;
  };

  Found Find(const Question& question) const;
  std::optional<std::size_t> PlaceOf(std::string_view organization) const;

  std::vector<CompiledGrant> grants_;
  PatternIndex callers_;                    // to grants
  std::vector<std::string> organizations_;  // sorted
  std::string default_organization_;
};

}  // namespace tokend::policy
