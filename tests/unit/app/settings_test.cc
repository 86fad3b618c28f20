#include "daemon/app/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "daemon/config/contents.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/test_authority.h"
#include "tests/fakes/test_tokens.h"

namespace tokend::app {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::StartsWith;

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    const fakes::Identity server = authority_.Issue("DNS:localhost");
    Write("tls.crt", server.certificate);
    Write("tls.key", server.private_key);
    Write("ca.crt", authority_.certificate());
    Write("api-key", "fake-api-key\n");
    Write("key", std::string(32, 'k'));
    Write("tokend.yaml", Configuration("{file: " + Path("api-key") + "}"));
  }

  std::string Path(const std::string& name) const { return folder_ / name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    chmod(Path(name).c_str(), 0600);
  }

  std::string Configuration(const std::string& api_key) const {
    return "listeners:\n"
           "  - name: cluster\n"
           "    address: 127.0.0.1:0\n"
           "    tls:\n"
           "      certificate_file: " +
           Path("tls.crt") +
           "\n"
           "      private_key_file: " +
           Path("tls.key") +
           "\n"
           "      client_ca_file: " +
           Path("ca.crt") +
           "\n"
           "    authentication: {mtls: {}}\n"
           "upstream:\n"
           "  applivery:\n"
           "    ca_file: " +
           Path("ca.crt") +
           "\n"
           "    organizations:\n"
           "      - {name: acme, api_key: " +
           api_key +
           "}\n"
           "policy: {grants: [{name: all, callers: [\"dns:ci\"], applications: [\"*\"], scopes: [sdk]}]}\n"
           "audit: {file: {path: " +
           Path("audit.jsonl") + "}, fingerprint_key_file: " + Path("key") + "}\n";
  }

  // What is wrong with it, a line each.
  std::vector<std::string> Errors(config::Contents contents) const {
    loop::CurlLoop loop;
    auto read = ReadSettings(Path("tokend.yaml"), contents == config::Contents::kAll ? &loop : nullptr);
    const auto* rejection = std::get_if<Rejection>(&read);
    return rejection != nullptr ? rejection->errors : std::vector<std::string>{};
  }

  void WriteServer(const fakes::Identity& server) const {
    Write("tls.crt", server.certificate);
    Write("tls.key", server.private_key);
  }

  // What a check or, with `running`, a reload reads of good files.
  Settings Read(const Settings* running = nullptr) const {
    auto read = ReadSettings(Path("tokend.yaml"), nullptr, running);
    EXPECT_TRUE(std::holds_alternative<Settings>(read));
    return std::get<Settings>(std::move(read));
  }

  // A line about the certificate's dates.
  auto OfDates(const std::string& severity, const std::string& text) const {
    return MatchesRegex(Path("tokend.yaml") + ":5:[0-9]+: " + severity +
                        ": listeners\\[0\\].tls.certificate_file: listener cluster: " + Path("tls.crt") +
                        " " + text);
  }

  // Of an error in that line of the file.
  auto In(int line, const std::string& text) const {
    return AllOf(StartsWith(Path("tokend.yaml") + ":" + std::to_string(line) + ":"),
                 HasSubstr(": error: " + text));
  }

  const fakes::TestAuthority authority_;
  fakes::TemporaryFolder folder_;
};

TEST_F(SettingsTest, WhatANamedFileHoldsIsJudgedAtTheKeyThatNamesIt) {
  ASSERT_THAT(Errors(config::Contents::kFiles), IsEmpty());
  Write("tls.key", authority_.Issue("DNS:other").private_key);
  Write("api-key", "two\nlines\n");
  Write("ca.crt", "no certificate\n");
  for (const auto contents : {config::Contents::kAll, config::Contents::kFiles}) {
    EXPECT_THAT(Errors(contents),
                ElementsAre(In(4, "listeners[0].tls: listener cluster: " + Path("tls.key") +
                                      " is not the private key of " + Path("tls.crt")),
                            In(11, "upstream.applivery.ca_file: " + Path("ca.crt") +
                                       " must hold one or more complete certificates in PEM"),
                            In(13, "upstream.applivery.organizations[0].api_key: organization acme: ")));
  }
}

TEST_F(SettingsTest, AKeyOfAnotherKindIsNoSigningKey) {
  const std::string text = Configuration("{file: " + Path("api-key") + "}");
  Write("tokend.yaml", text.substr(0, text.rfind('}')) + ", signing_key_file: " + Path("tls.key") + "}\n");
  EXPECT_THAT(Errors(config::Contents::kFiles), ElementsAre(In(15, "audit.signing_key_file: ")));
}

TEST_F(SettingsTest, AVariableThatIsNotSetMattersToTheDaemonAndNotToACheck) {
  Write("tokend.yaml", Configuration("{env: TOKEND_TEST_NOT_SET}"));
  EXPECT_THAT(Errors(config::Contents::kAll),
              ElementsAre(In(13, "upstream.applivery.organizations[0].api_key: organization acme: ")));
  EXPECT_THAT(Errors(config::Contents::kFiles), IsEmpty());
}

TEST_F(SettingsTest, AServerCertificateOutsideItsDatesIsAWarningWithTheDate) {
  EXPECT_THAT(Read().config.warnings, IsEmpty());
  const std::string date = "20[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+Z";
  WriteServer(authority_.Issue("DNS:localhost", std::chrono::seconds(-60)));
  EXPECT_THAT(Read().config.warnings,
              ElementsAre(OfDates("warning", "has expired at " + date + "; clients refuse it")));
  WriteServer(authority_.IssueForLater("DNS:localhost", std::chrono::hours(1)));
  EXPECT_THAT(Read().config.warnings,
              ElementsAre(OfDates("warning", "is not valid before " + date + "; clients refuse it")));
}

TEST_F(SettingsTest, AnExpiredCertificateDoesNotReplaceAValidOneAndAllElseIsTaken) {
  const Settings running = Read();
  WriteServer(authority_.Issue("DNS:localhost", std::chrono::seconds(-60)));
  Write("api-key", "another-key\n");
  const Settings next = Read(&running);
  EXPECT_EQ(next.edge.listeners[0].tls, running.edge.listeners[0].tls);
  EXPECT_THAT(next.refused, ElementsAre(OfDates("error", "has expired at .*; the listener keeps .*")));
  EXPECT_THAT(next.config.warnings, IsEmpty());
  EXPECT_NE(next.api_keys.at("acme").generation, running.api_keys.at("acme").generation);
}

TEST_F(SettingsTest, AnExpiredCertificateIsTakenWhereTheOneBeforeIsNoBetter) {
  WriteServer(authority_.Issue("DNS:localhost", std::chrono::seconds(-60)));
  const Settings running = Read();
  WriteServer(authority_.Issue("DNS:localhost", std::chrono::seconds(-30)));
  const Settings next = Read(&running);
  EXPECT_NE(next.edge.listeners[0].tls, running.edge.listeners[0].tls);
  EXPECT_THAT(next.refused, IsEmpty());
  EXPECT_THAT(next.config.warnings, ElementsAre(HasSubstr("has expired at ")));
}

TEST_F(SettingsTest, ACaOfClientsThatMayNotCountIsAWarning) {
  const std::string own = authority_.certificate();
  const std::string where = Path("tokend.yaml") + ":7:23: warning: listeners[0].tls.client_ca_file: ";
  Write("ca.crt", own + own);
  EXPECT_THAT(Read().config.warnings, IsEmpty());
  Write("ca.crt", own + "  " + own);
  EXPECT_THAT(
      Read().config.warnings,
      ElementsAre(where + "listener cluster: " + Path("ca.crt") +
                  " begins 2 certificates, and only 1 could be read: each BEGIN line must stand alone"));
  Write("ca.crt", own + fakes::TestAuthority().certificate());
  EXPECT_THAT(Read().config.warnings,
              ElementsAre(where + "listener cluster: " + Path("ca.crt") +
                          ": certificate 2 is a CA with the name of another and a different key: clients of "
                          "one of them may be refused"));
}

TEST_F(SettingsTest, KeysThatAKeySetLeavesOutAreAWarning) {
  const auto key = fakes::TokenKey::Ec("P-256");
  std::string configuration = Configuration("{file: " + Path("api-key") + "}");
  const std::string mtls = "authentication: {mtls: {}}";
  configuration.replace(configuration.find(mtls), mtls.size(),
                        "authentication: {jwt: {issuer: i, audience: a, jwks_file: " + Path("jwks") + "}}");
  Write("tokend.yaml", configuration);
  Write("jwks", fakes::JwkSet({key.Jwk()}));
  EXPECT_THAT(Read().config.warnings, testing::Not(testing::Contains(HasSubstr("left out"))));
  Write("jwks", fakes::JwkSet({key.Jwk(), key.Jwk(R"(,"use":"enc")")}));
  EXPECT_THAT(Read().config.warnings,
              testing::Contains(AllOf(HasSubstr(": warning: listeners[0].authentication.jwt.jwks_file: "),
                                      HasSubstr("1 of 2 keys left out: 1 for another use"))));
}

TEST_F(SettingsTest, ACertificateWithWhichNoHandshakeSucceedsRejectsTheReload) {
  const Settings running = Read();
  WriteServer(authority_.IssueOnUnknownCurve("DNS:localhost"));
  const auto read = ReadSettings(Path("tokend.yaml"), nullptr, &running);
  const auto* rejection = std::get_if<Rejection>(&read);
  ASSERT_NE(rejection, nullptr);
  EXPECT_EQ(rejection->of, Rejection::Of::kKey);
  EXPECT_THAT(rejection->errors,
              ElementsAre(In(4, "listeners[0].tls: listener cluster: every TLS handshake with ")));
}

}  // namespace
}  // namespace tokend::app
