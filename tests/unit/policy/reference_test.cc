#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/pattern.h"
#include "daemon/policy/policy.h"
#include "tests/fakes/requests.h"

namespace tokend::policy {
namespace {

bool IsSeparator(char c) { return c == '/' || c == ':'; }

// The definition of a pattern, written down: nothing but recursion.
bool Matches(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] != '*') {
    return !name.empty() && name[0] == pattern[0] && Matches(pattern.substr(1), name.substr(1));
  }
  const bool crosses = pattern.substr(0, 2) == "**";
  pattern.remove_prefix(crosses ? 2 : 1);
  for (std::size_t taken = 1; taken <= name.size(); ++taken) {
    if (!crosses && IsSeparator(name[taken - 1])) return false;
    if (Matches(pattern, name.substr(taken))) return true;
  }
  return false;
}

bool AnyMatches(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return pattern == "*" || Matches(pattern, name); });
}

// The first condition of the grant that fails: nothing is compiled, nothing indexed.
std::optional<Condition> FirstFailure(const config::Grant& grant, const std::string& caller,
                                      const fakes::Request& request,
                                      const std::vector<config::Organization>& organizations) {
  if (!AnyMatches(grant.callers, caller)) return Condition::kCaller;
  const bool configured = std::any_of(organizations.begin(), organizations.end(),
                                      [&](const auto& known) { return known.name == request.organization; });
  if (!configured || !AnyMatches(grant.organizations, request.organization)) return Condition::kOrganization;
  if (!AnyMatches(grant.applications, request.application)) return Condition::kApplication;
  for (const std::string& scope : request.scopes) {
    if (std::find(grant.scopes.begin(), grant.scopes.end(), scope) == grant.scopes.end()) {
      return Condition::kScopes;
    }
  }
  return std::nullopt;
}

class RandomPolicy {
 public:
  explicit RandomPolicy(std::uint32_t seed) : random_(seed) {}

  std::string Text(std::string_view alphabet, std::size_t least, std::size_t most) {
    std::string text;
    const std::size_t size = least + random_() % (most - least + 1);
    while (text.size() < size) text += alphabet[random_() % alphabet.size()];
    return text;
  }

  std::string CallerPattern() {
    while (true) {
      std::string text = Text("ab/:*", 1, 8);
      if (Pattern::Parse(text).ok()) return text;
    }
  }

  const char* OneOf(std::vector<const char*> choices) { return choices[random_() % choices.size()]; }

  config::Grant Grant(int number) {
    config::Grant grant;
    grant.name = "g" + std::to_string(number);
    for (std::size_t i = random_() % 3 + 1; i > 0; --i) grant.callers.push_back(CallerPattern());
    grant.organizations = {OneOf({"*", "acme", "beta", "b*"})};
    grant.applications = {OneOf({"*", "app-a", "app-b", "app-*", "*-b"}), OneOf({"app-c", "a*a"})};
    grant.scopes = {OneOf({"sdk", "x"})};
    if (random_() % 2 == 0) grant.scopes.emplace_back("y");
    grant.default_scopes = {grant.scopes.front()};
    grant.description_template = "{description}";
    return grant;
  }

  fakes::Request Request() {
    fakes::Request request;
    request.organization = OneOf({"acme", "beta", "other"});
    request.application = OneOf({"app-a", "app-b", "app-c", "zzz"});
    if (random_() % 2 == 0) request.scopes = {OneOf({"sdk", "x", "y"})};
    return request;
  }

 private:
  std::mt19937 random_;
};

TEST(Policy, DecidesAndExplainsAsReadingOneGrantAfterTheOtherDoes) {
  const std::uint32_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  RandomPolicy random(seed);
  const std::vector<config::Organization> organizations = {{"beta", config::KeyFile{}},
                                                           {"acme", config::KeyFile{}}};
  int permitted = 0;
  for (int round = 0; round < 150; ++round) {
    std::vector<config::Grant> grants;
    for (int i = 0; i < 30; ++i) grants.push_back(random.Grant(i));
    const Policy policy(grants, organizations);
    for (int i = 0; i < 40; ++i) {
      const std::string caller = random.Text("ab/:", 1, 8);
      const fakes::Request request = random.Request();
      const std::vector<Verdict> verdicts =
          policy.Explain({caller, request.organization, request.application, request.scopes});
      ASSERT_EQ(verdicts.size(), grants.size());
      const config::Grant* first = nullptr;
      Condition furthest = Condition::kCaller;
      for (std::size_t g = 0; g < grants.size(); ++g) {
        const auto failed = FirstFailure(grants[g], caller, request, organizations);
        EXPECT_EQ(verdicts[g].failed, failed) << caller << " " << grants[g].name;
        if (!failed && first == nullptr) first = &grants[g];
        if (failed) furthest = std::max(furthest, *failed);
      }
      const Decision decision = policy.Decide(fakes::CallerNamed(caller), fakes::RequestFor(request));
      const Policy::Answer answer =
          policy.Ask({caller, request.organization, request.application, request.scopes});
      if (first == nullptr) {
        EXPECT_TRUE(std::holds_alternative<Denied>(decision)) << caller;
        EXPECT_EQ(answer.grant, nullptr);
        EXPECT_EQ(answer.furthest, furthest);
      } else {
        ++permitted;
        ASSERT_TRUE(std::holds_alternative<Permitted>(decision)) << caller << " " << first->name;
        EXPECT_EQ(std::get<Permitted>(decision).grant().name, first->name);
        EXPECT_EQ(answer.grant->name, first->name);
      }
    }
  }
  EXPECT_GT(permitted, 100);
}

TEST(Policy, PermissionOutlivesThePolicyThatGaveIt) {
  config::Grant grant;
  grant.name = "ci";
  grant.callers = {"dev"};
  grant.organizations = grant.applications = {"*"};
  grant.scopes = grant.default_scopes = {"sdk"};
  auto policy = std::make_unique<Policy>(std::vector<config::Grant>{grant},
                                         std::vector<config::Organization>{{"acme", config::KeyFile{}}});
  const Decision decision = policy->Decide(fakes::CallerNamed("dev"), fakes::RequestFor({}));
  policy.reset();
  EXPECT_EQ(std::get<Permitted>(decision).grant().scopes, grant.scopes);
}

}  // namespace
}  // namespace tokend::policy
