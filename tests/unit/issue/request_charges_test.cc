#include "daemon/issue/request_charges.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <string>
#include <vector>

namespace tokend::issue {
namespace {

using std::chrono::minutes;
using Names = std::vector<std::string>;

config::Limit LimitOf(const std::string& name, std::uint64_t tokens = 5) {
  return {name, tokens, minutes(1), tokens};
}

config::Grant GrantOf(const std::string& name) {
  config::Grant grant;
  grant.name = name;
  grant.limits = {LimitOf("minute"), LimitOf("hour")};
  grant.shared_limits = {LimitOf("together")};
  return grant;
}

ConfigSnapshot Config() { return {"", {{}, {}}, minutes(1), {{"acme", {LimitOf("upstream")}}}}; }

Names SubjectsOf(const std::vector<state::Charge>& charges) {
  Names subjects;
  for (const state::Charge& charge : charges) subjects.push_back(charge.subject);
  return subjects;
}

std::vector<state::LimitKey> KeysOf(const state::Charges& charges) {
  std::vector<state::LimitKey> keys;
  for (const state::Charge& charge : charges.own) keys.push_back(charge.key);
  for (const state::Charge& charge : charges.organization) keys.push_back(charge.key);
  return keys;
}

TEST(RequestCharges, AreOneTokenOfEachLimitOfTheGrantAndOfTheOrganization) {
  const state::Charges charges = ChargesFor(Config(), GrantOf("deploy"), "ci", "acme");
  EXPECT_EQ(SubjectsOf(charges.own), (Names{"deploy/minute", "deploy/hour", "deploy/together"}));
  EXPECT_EQ(SubjectsOf(charges.organization), Names{"acme/upstream"});
  EXPECT_EQ(charges.organization_name, "acme");
  EXPECT_EQ(charges.caller, "ci");
}

TEST(RequestCharges, OfAnOrganizationWithoutLimitsAreTheGrantsAlone) {
  const state::Charges charges = ChargesFor(Config(), GrantOf("deploy"), "ci", "other");
  EXPECT_EQ(charges.own.size(), 3U);
  EXPECT_TRUE(charges.organization.empty());
}

TEST(RequestCharges, EachHaveABucketOfTheirOwn) {
  config::Grant grant = GrantOf("acme");
  grant.limits = {LimitOf("upstream")};
  grant.shared_limits = {LimitOf("upstream")};
  const auto keys = KeysOf(ChargesFor(Config(), grant, "acme", "acme"));
  EXPECT_EQ(std::set(keys.begin(), keys.end()).size(), 3U) << "where all names are the same";
}

TEST(RequestCharges, ShareTheGrantsSharedBucketAndTheOrganizationsAmongCallers) {
  const auto of_ci = KeysOf(ChargesFor(Config(), GrantOf("deploy"), "ci", "acme"));
  const auto of_nightly = KeysOf(ChargesFor(Config(), GrantOf("deploy"), "nightly", "acme"));
  EXPECT_NE(of_ci[0], of_nightly[0]);
  EXPECT_NE(of_ci[1], of_nightly[1]);
  EXPECT_EQ(of_ci[2], of_nightly[2]);
  EXPECT_EQ(of_ci[3], of_nightly[3]);
}

TEST(RequestCharges, KeepTheirBucketWhereAReloadChangesALimitsNumbers) {
  config::Grant reloaded = GrantOf("deploy");
  for (config::Limit& limit : reloaded.limits) limit = LimitOf(limit.name, 700);
  EXPECT_EQ(KeysOf(ChargesFor(Config(), reloaded, "ci", "acme")),
            KeysOf(ChargesFor(Config(), GrantOf("deploy"), "ci", "acme")));
}

TEST(RequestCharges, OwnLimitsAreThoseOfTheCallerAlone) {
  EXPECT_EQ(SubjectsOf(OwnLimitsOf(GrantOf("deploy"), "ci")), (Names{"deploy/minute", "deploy/hour"}));
}

}  // namespace
}  // namespace tokend::issue
