#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/unit/config/fixture.h"

namespace tokend::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kBeforeListeners = "listeners:\n";
constexpr std::string_view kNoneYaml =
    "  - {name: none, address: 127.0.0.1:0, authentication: {none: {caller: dev}}}\n";
constexpr std::string_view kUnixYaml =
    "  - {name: pod, address: unix:///run/u.sock, authentication: {unix: {callers: [{uid: 7, name: "
    "unix:checkout}]}}}\n";
constexpr std::string_view kMtlsYaml =
    "  - {name: mesh, address: 127.0.0.1:0, tls: {certificate_file: $DIR/cert.pem, private_key_file: "
    "$DIR/key.pem, client_ca_file: $DIR/ca.pem}, authentication: {mtls: {}}}\n";
constexpr std::string_view kJwtYaml =
    "  - {name: jobs, address: 127.0.0.1:0, authentication: {jwt: {issuer: i, audience: a, jwks_file: "
    "$DIR/jwks.json, trust_domain: prod.example}}}\n";
constexpr std::string_view kBetween =
    "upstream:\n  applivery:\n    organizations:\n      - {name: acme, api_key: {file: $DIR/api_key}}\n"
    "      - {name: beta, api_key: {file: $DIR/api_key}}\npolicy:\n  grants:\n";
constexpr std::string_view kAfter = "audit: {stdout: {}}\n";

// What is said of the policy, without the file's name.
std::vector<std::string> WarningsOf(const std::vector<std::string_view>& listeners,
                                    const std::string& grants) {
  const Folder folder;
  std::string text(kBeforeListeners);
  for (const std::string_view listener : listeners) text += listener;
  const LoadResult result = folder.Parse(text + std::string(kBetween) + grants + std::string(kAfter));
  EXPECT_THAT(result.errors, IsEmpty());
  std::vector<std::string> warnings;
  for (const std::string& warning : result.warnings) {
    const std::size_t policy = warning.find("policy.");
    if (policy != std::string::npos) warnings.push_back(warning.substr(policy));
  }
  return warnings;
}

std::string GrantYaml(const std::string& name, const std::string& rest) {
  return "    - {name: " + name + ", " + rest + "}\n";
}

std::string GrantOfCaller(const std::string& caller) {
  return GrantYaml("g", "callers: [\"" + caller + "\"], applications: [app], scopes: [sdk]");
}

const std::vector<std::string_view> kEveryKind = {kNoneYaml, kUnixYaml, kMtlsYaml, kJwtYaml};

TEST(PolicyLint, WarnsOfAPatternThatCrossesTrustDomains) {
  for (const char* pattern : {"spiffe://**", "spiffe://*/ns/ci/sa/builder", "spiffe://prod*/ns/ci/**",
                              "spiffe:**/builder", "**/sa/builder", "sp**/builder"}) {
    EXPECT_THAT(WarningsOf(kEveryKind, GrantOfCaller(pattern)), Contains(HasSubstr("every trust domain")))
        << pattern;
  }
  for (const char* pattern : {"spiffe://prod.example/**", "spiffe://prod.example/ns/*/sa/*",
                              "system:serviceaccount:**", "*-builder", "ci:**"}) {
    EXPECT_THAT(WarningsOf(kEveryKind, GrantOfCaller(pattern)), IsEmpty()) << pattern;
  }
}

TEST(PolicyLint, WarnsOfAPatternWithTooLittleOfAName) {
  for (const char* pattern : {"s*", "ab*", "*:a", "dns:*", "dns:a*"}) {
    EXPECT_THAT(WarningsOf(kEveryKind, GrantOfCaller(pattern)),
                ElementsAre("policy.grants[0].callers[0]: matches nearly every caller of its kind: it has "
                            "fewer than 3 characters beside wildcards"))
        << pattern;
  }
  for (const char* pattern : {"dns:*.shop.example", "unix:*", "dev*", "ci:*"}) {
    EXPECT_THAT(WarningsOf(kEveryKind, GrantOfCaller(pattern)), IsEmpty()) << pattern;
  }
}

struct MakeableCase {
  std::string caller;
  std::vector<std::string_view> by;  // the listeners that can make such a caller
};

TEST(PolicyLint, WarnsOfACallerThatNoListenerMakes) {
  const std::vector<MakeableCase> cases = {
      {"unix:checkout", {kUnixYaml}},
      {"unix:check*", {kUnixYaml}},
      {"unix:other", {}},
      {"unix:other*", {}},
      {"dns:ci.shop.example", {kMtlsYaml}},
      {"spiffe://prod.example/ns/ci", {kMtlsYaml, kJwtYaml}},
      {"spiffe://prod.example/**", {kMtlsYaml, kJwtYaml}},
      {"spiffe://other.example/**", {kMtlsYaml}},
      {"dev", {kNoneYaml, kJwtYaml}},
      {"dev*", {kJwtYaml}},
      {"de*", {kNoneYaml, kJwtYaml}},
      {"system:serviceaccount:ci:*", {kJwtYaml}},
  };
  for (const MakeableCase& row : cases) {
    for (const std::string_view listener : kEveryKind) {
      const bool makes = std::find(row.by.begin(), row.by.end(), listener) != row.by.end();
      const auto warnings = WarningsOf({listener}, GrantOfCaller(row.caller));
      const auto unmade = HasSubstr("policy.grants[0].callers[0]: no listener can name a caller so");
      EXPECT_THAT(warnings, testing::Conditional(makes, testing::Not(Contains(unmade)), Contains(unmade)))
          << row.caller << " " << listener;
    }
  }
}

TEST(PolicyLint, WarnsOfAGrantThatCanNeverDecide) {
  const std::string wide =
      GrantYaml("wide", "callers: [\"ci:**\", dev], applications: [\"*\"], scopes: [sdk, beta]");
  EXPECT_THAT(WarningsOf(kEveryKind, wide + GrantYaml("narrow",
                                                      "callers: [\"ci:team-*\", dev], organizations: "
                                                      "[acme], applications: [\"ios-*\"], scopes: [sdk]")),
              ElementsAre("policy.grants[1]: can never decide: everything that it could permit is "
                          "permitted by policy.grants[0] before it"));
  EXPECT_THAT(WarningsOf(kEveryKind, wide + GrantYaml("mixed",
                                                      "callers: [\"ci:team-*\", other], applications: "
                                                      "[\"ios-*\"], scopes: [sdk]")),
              ElementsAre("policy.grants[1].callers[0]: has no effect: everything that it could permit these "
                          "callers is permitted by policy.grants[0] before it"));
}

TEST(PolicyLint, SaysNothingOfAGrantThatStillHasSomethingToDecide) {
  const std::string first = GrantYaml(
      "first", "callers: [\"ci:*\"], organizations: [acme], applications: [\"ios-*\"], scopes: [sdk]");
  for (const char* rest : {
           "callers: [\"ci:**\"], organizations: [acme], applications: [\"ios-*\"], scopes: [sdk]",
           "callers: [\"ci:a:b\"], organizations: [acme], applications: [\"ios-*\"], scopes: [sdk]",
           "callers: [\"ci:*\"], organizations: [acme, beta], applications: [\"ios-*\"], scopes: [sdk]",
           "callers: [\"ci:*\"], organizations: [acme], applications: [\"ios-*\", web], scopes: [sdk]",
           "callers: [\"ci:*\"], organizations: [acme], applications: [\"*\"], scopes: [sdk]",
           "callers: [\"ci:*\"], organizations: [acme], applications: [\"ios-*\"], scopes: [sdk, beta]",
       }) {
    EXPECT_THAT(WarningsOf(kEveryKind, first + GrantYaml("second", rest)), IsEmpty()) << rest;
  }
}

TEST(PolicyLint, TakesEveryConfiguredOrganizationForAll) {
  EXPECT_THAT(
      WarningsOf(kEveryKind, GrantYaml("first",
                                       "callers: [dev], organizations: [acme, \"be*\"], "
                                       "applications: [app], scopes: [sdk]") +
                                 GrantYaml("second", "callers: [dev], applications: [app], scopes: [sdk]")),
      ElementsAre(HasSubstr("policy.grants[1]: can never decide")));
}

TEST(PolicyLint, StopsComparingAndSaysSo) {
  std::string grants;
  for (int i = 0; i < 2500; ++i) {
    grants += GrantYaml("g" + std::to_string(i),
                        "callers: [dev], applications: [app-" + std::to_string(i) + "], scopes: [sdk]");
  }
  EXPECT_THAT(WarningsOf(kEveryKind, grants),
              ElementsAre(HasSubstr("policy.grants: has too many grants for the same callers")));
}

TEST(Load, IgnoresTheFilesThatAreNamedWhereItIsToldSo) {
  const Folder folder;
  const std::string text = Folder::Replace(std::string(kMinimal), "$DIR/api_key", "/nowhere/key");
  EXPECT_THAT(Parse(text, "t.yaml").errors, ElementsAre(HasSubstr("the file cannot be read")));
  EXPECT_THAT(Parse(text, "t.yaml", nullptr, NamedFiles::kIgnored).errors, IsEmpty());
}

TEST(PolicyLint, WarnsOfAPatternForApplicationsThatAlsoMatchesIds) {
  const auto warnings = [](const std::string& application) {
    return WarningsOf({kNoneYaml}, GrantYaml("g", "callers: [dev], applications: [\"" + application +
                                                      "\"], scopes: [sdk]"));
  };
  for (const char* application : {"cafe*", "*beef", "a*1", "DEAD*", "00000000000000000000000*"}) {
    EXPECT_THAT(
        warnings(application),
        ElementsAre("policy.grants[0].applications[0]: also matches ids, which are 24 hex digits, and so "
                    "applications of any name: add a character that no id has, such as \"-\""))
        << application;
  }
  for (const char* application : {"*", "cafe-*", "ios*", "cafe", "000000000000000000000000*"}) {
    EXPECT_THAT(warnings(application), IsEmpty()) << application;
  }
}

}  // namespace
}  // namespace tokend::config
