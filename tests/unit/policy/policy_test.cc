#include "daemon/policy/policy.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/requests.h"

namespace tokend::policy {
namespace {

using fakes::CallerNamed;
using fakes::Request;
using fakes::RequestFor;

config::Grant MobileCi() {
  config::Grant grant;
  grant.name = "mobile-ci";
  grant.callers = {"system:serviceaccount:ci:*"};
  grant.organizations = {"acme"};
  grant.applications = {"ios-app", "android-*"};
  grant.scopes = {"sdk", "beta", "alpha"};
  grant.default_scopes = {"sdk"};
  grant.description_template = "{description}";
  return grant;
}

Policy PolicyOf(const std::vector<config::Grant>& grants) {
  return Policy(grants, {{"acme", config::KeyFile{}}, {"beta", config::KeyFile{}}});
}

const Caller kBuilder = CallerNamed("system:serviceaccount:ci:builder");

Request Android() { return {.organization = "acme", .application = "android-beta"}; }

std::string Missing(const Decision& decision) { return std::get<Denied>(decision).missing; }

TEST(Policy, PermitsNothingWithoutAGrant) {
  EXPECT_TRUE(std::holds_alternative<Denied>(PolicyOf({}).Decide(kBuilder, RequestFor(Android()))));
}

TEST(Policy, PermitsWhatAGrantCoversWithItsDefaultScopes) {
  const Decision decision = PolicyOf({MobileCi()}).Decide(kBuilder, RequestFor(Android()));
  const auto& permitted = std::get<Permitted>(decision);
  EXPECT_EQ(permitted.grant().name, "mobile-ci");
  EXPECT_EQ(permitted.scopes(), std::vector<std::string>{"sdk"});
  EXPECT_EQ(permitted.description(), "");
}

TEST(Policy, PermitsAnySetOfTheGrantsScopes) {
  Request request = Android();
  request.scopes = {"sdk", "alpha"};
  const Decision decision = PolicyOf({MobileCi()}).Decide(kBuilder, RequestFor(request));
  EXPECT_EQ(std::get<Permitted>(decision).scopes(), (std::vector<std::string>{"alpha", "sdk"}));
}

TEST(Policy, AnEarlierTokenIsJudgedByWhatItsCallAskedForThen) {
  const std::vector<std::string> scopes = {"beta"};
  const std::string caller = kBuilder.name();
  const Question minted{caller, "acme", "android-beta", scopes};
  config::Grant changed = MobileCi();
  changed.description_template = "{caller}";
  const Decision again = PolicyOf({changed}).DecideAgain(minted, "as it was sent");
  const auto& permitted = std::get<Permitted>(again);
  EXPECT_EQ(permitted.scopes(), scopes);
  EXPECT_EQ(permitted.description(), "as it was sent");
  changed.scopes = changed.default_scopes = {"sdk"};
  EXPECT_EQ(Missing(PolicyOf({changed}).DecideAgain(minted, "")),
            "no grant that names this caller covers these scopes");
}

TEST(Policy, KnowsWhetherItNamesOneCallerAlone) {
  config::Grant grant = MobileCi();
  EXPECT_FALSE(PolicyOf({grant}).names_one_caller()) << "a pattern";
  grant.callers = {"unix:checkout"};
  EXPECT_TRUE(PolicyOf({grant, grant}).names_one_caller());
  grant.callers.push_back("unix:other");
  EXPECT_FALSE(PolicyOf({grant}).names_one_caller());
  EXPECT_FALSE(PolicyOf({}).names_one_caller());
}

TEST(Policy, DenialSaysTheFirstConditionThatTheNearestGrantLacked) {
  const Policy policy = PolicyOf({MobileCi()});
  EXPECT_EQ(Missing(policy.Decide(CallerNamed("unix:other"), RequestFor(Android()))),
            "no grant names this caller");
  Request request = Android();
  request.organization = "other";
  EXPECT_EQ(Missing(policy.Decide(kBuilder, RequestFor(request))),
            "no grant that names this caller covers this organization");
  request = Android();
  request.application = "web";
  EXPECT_EQ(Missing(policy.Decide(kBuilder, RequestFor(request))),
            "no grant that names this caller covers this application");
  request = Android();
  request.scopes = {"sdk", "admin"};
  EXPECT_EQ(Missing(policy.Decide(kBuilder, RequestFor(request))),
            "no grant that names this caller covers these scopes");
}

TEST(Policy, FirstGrantThatMatchesDecides) {
  config::Grant wide = MobileCi();
  wide.name = "wide";
  wide.applications = {"*"};
  EXPECT_EQ(
      std::get<Permitted>(PolicyOf({wide, MobileCi()}).Decide(kBuilder, RequestFor(Android()))).grant().name,
      "wide");
  EXPECT_EQ(
      std::get<Permitted>(PolicyOf({MobileCi(), wide}).Decide(kBuilder, RequestFor(Android()))).grant().name,
      "mobile-ci");
}

TEST(Policy, TemplateIsFilledOnceSoThatTextOfACallerStaysText) {
  config::Grant grant = MobileCi();
  grant.description_template = "{description} [{caller} {request_id}]";
  Request request = Android();
  request.description = "{caller}{request_id}";
  request.request_id = "018f3b2a-0000-7000-8000-0123456789ab";
  EXPECT_EQ(std::get<Permitted>(PolicyOf({grant}).Decide(kBuilder, RequestFor(request))).description(),
            "{caller}{request_id} [system:serviceaccount:ci:builder 018f3b2a-0000-7000-8000-0123456789ab]");
}

TEST(Policy, TemplateHoldsTheNameOfARelaysCaller) {
  config::Grant grant = MobileCi();
  grant.description_template = "{description} <{on_behalf_of}>";
  Request request = Android();
  const auto description = [&] {
    return std::get<Permitted>(PolicyOf({grant}).Decide(kBuilder, RequestFor(request))).description();
  };
  EXPECT_EQ(description(), " <>");
  request.relayed = Relayed{.on_behalf_of = "unix:{description}"};
  request.description = "{on_behalf_of}";
  EXPECT_EQ(description(), "{on_behalf_of} <unix:{description}>");
}

TEST(Policy, AnyOrganizationMeansTheConfiguredOnes) {
  config::Grant grant = MobileCi();
  grant.organizations = {"*"};
  const Policy policy = PolicyOf({grant});
  Request request = Android();
  request.organization = "beta";
  EXPECT_TRUE(std::holds_alternative<Permitted>(policy.Decide(kBuilder, RequestFor(request))));
  request.organization = "nosuch";
  EXPECT_EQ(Missing(policy.Decide(kBuilder, RequestFor(request))),
            "no grant that names this caller covers this organization");
  EXPECT_EQ(policy.GrantsOf(kBuilder.name()).grants[0].organizations,
            (std::vector<std::string>{"acme", "beta"}));
}

TEST(Policy, ShowsACallerItsGrantsAlone) {
  config::Grant other = MobileCi();
  other.callers = {"unix:other"};
  const Policy policy = PolicyOf({other, MobileCi()});
  const CallerGrants named = policy.GrantsOf(kBuilder.name());
  ASSERT_EQ(named.grants.size(), 1U);
  EXPECT_EQ(named.grants[0].grant->name, "mobile-ci");
  EXPECT_FALSE(named.more);
}

TEST(Policy, ShowsACallerItsFirst200Grants) {
  std::vector<config::Grant> grants(CallerGrants::kMax, MobileCi());
  EXPECT_FALSE(PolicyOf(grants).GrantsOf(kBuilder.name()).more);
  grants.back().name = "the-last-shown";
  grants.resize(5000, MobileCi());
  const Policy policy = PolicyOf(grants);
  const CallerGrants named = policy.GrantsOf(kBuilder.name());
  ASSERT_EQ(named.grants.size(), 200U);
  EXPECT_EQ(named.grants.back().grant->name, "the-last-shown");
  EXPECT_TRUE(named.more);
}

TEST(Policy, ExplainsEveryGrantByTheFirstConditionThatFails) {
  config::Grant others = MobileCi();
  others.callers = {"unix:*"};
  config::Grant elsewhere = MobileCi();
  elsewhere.organizations = {"beta"};
  config::Grant desktop = MobileCi();
  desktop.applications = {"desktop"};
  config::Grant narrow = MobileCi();
  narrow.scopes = {"other"};
  const Policy policy = PolicyOf({others, elsewhere, desktop, narrow, MobileCi(), MobileCi()});
  const std::vector<std::string> scopes = {"sdk"};
  const auto verdicts = policy.Explain({kBuilder.name(), "acme", "ios-app", scopes});
  ASSERT_EQ(verdicts.size(), 6U);
  EXPECT_EQ(verdicts[0].failed, Condition::kCaller);
  EXPECT_EQ(verdicts[1].failed, Condition::kOrganization);
  EXPECT_EQ(verdicts[2].failed, Condition::kApplication);
  EXPECT_EQ(verdicts[3].failed, Condition::kScopes);
  EXPECT_EQ(verdicts[4].failed, std::nullopt);
  EXPECT_EQ(verdicts[5].failed, std::nullopt);
  EXPECT_EQ(policy.Ask({kBuilder.name(), "acme", "ios-app", scopes}).grant.get(), verdicts[4].grant);
}

}  // namespace
}  // namespace tokend::policy
