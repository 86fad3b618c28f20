#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/config/fixture.h"

// The configuration of a relay: kRelay of fixture.h, in most tests with one edit.
namespace tokend::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const char* const kTls =
    "    tls: {ca_file: $DIR/ca.pem, certificate_file: $DIR/cert.pem, private_key_file: $DIR/key.pem}\n";
const char* const kRemote = "central.svc:8443";
const char* const kNameAndToken = "    server_name: tokend.example\n    token_file: $DIR/token\n";

struct Edit {
  std::string find;
  std::string replace;
};

std::string RelayWith(const std::vector<Edit>& edits) {
  std::string text(kRelay);
  for (const Edit& edit : edits) {
    const std::string before = text;
    text = Folder::Replace(text, edit.find, edit.replace);
    EXPECT_NE(text, before) << edit.find;
  }
  return text;
}

TokendUpstream UpstreamOf(const LoadResult& result) {
  EXPECT_THAT(result.errors, IsEmpty());
  return result.config ? std::get<TokendUpstream>(result.config->upstream) : TokendUpstream();
}

TEST(Relay, MapsEveryKeyOfItsUpstream) {
  const Folder folder;
  const LoadResult result = folder.Parse(kRelay);
  const TokendUpstream tokend = UpstreamOf(result);
  EXPECT_EQ(ToString(tokend.address), kRemote);
  EXPECT_EQ(tokend.tls.ca_file, folder.Path("ca.pem"));
  EXPECT_EQ(tokend.tls.certificate_file, folder.Path("cert.pem"));
  EXPECT_EQ(tokend.tls.private_key_file, folder.Path("key.pem"));
  EXPECT_FALSE(tokend.plaintext);
  EXPECT_EQ(tokend.server_name, "tokend.example");
  EXPECT_EQ(tokend.token_file, folder.Path("token"));
  EXPECT_EQ(tokend.timeout, std::chrono::seconds(35));
  EXPECT_EQ(tokend.max_in_flight, 99U);
  EXPECT_THAT(result.warnings, Not(Contains(HasSubstr("upstream"))));
}

TEST(Relay, FillsInTheDocumentedDefaults) {
  const Folder folder;
  const LoadResult result = folder.Parse(RelayWith({{kTls, "    tls: {}\n"},
                                                    {"    server_name: tokend.example\n", ""},
                                                    {"    timeout: 35s\n    max_in_flight: 99\n", ""}}));
  const TokendUpstream tokend = UpstreamOf(result);
  EXPECT_EQ(tokend.tls.ca_file, "");
  EXPECT_EQ(tokend.server_name, "central.svc");
  EXPECT_EQ(tokend.timeout, std::chrono::seconds(40));
  EXPECT_EQ(tokend.max_in_flight, 256U);
  EXPECT_THAT(result.config->effective, HasSubstr("server_name: \"central.svc\""));
}

TEST(Relay, AnIpv6AddressIsAServerNameWithoutBrackets) {
  const Folder folder;
  const LoadResult result = folder.Parse(
      RelayWith({{kRemote, "\"[2001:db8::1]:8443\""}, {"    server_name: tokend.example\n", ""}}));
  EXPECT_EQ(UpstreamOf(result).server_name, "2001:db8::1");
}

TEST(Relay, KnowsTheOrganizationsThatItsGrantsNameAndHasNoKeys) {
  const Folder folder;
  const LoadResult result = folder.Parse(kRelay);
  ASSERT_THAT(result.errors, IsEmpty());
  ASSERT_EQ(result.config->organizations.size(), 2U);
  EXPECT_EQ(result.config->organizations[0].name, "acme");
  EXPECT_EQ(result.config->organizations[1].name, "other");
  for (const Organization& organization : result.config->organizations) {
    EXPECT_FALSE(organization.api_key);
    EXPECT_THAT(organization.limits, IsEmpty());
  }
}

TEST(Relay, SpeaksPlaintextOnlyWithinTheMachine) {
  const Folder folder;
  for (const char* address : {"unix:///run/tokend/central.sock", "127.0.0.1:8443", "\"[::1]:8443\""}) {
    const std::string text = RelayWith({{kRemote, address}, {kTls, ""}, {kNameAndToken, ""}});
    EXPECT_TRUE(UpstreamOf(folder.Parse(text)).plaintext) << address;
  }
  const std::string over_tls = RelayWith({{kRemote, "localhost:8443"}});
  EXPECT_FALSE(UpstreamOf(folder.Parse(over_tls)).plaintext);
}

TEST(Relay, WarnsOfARelayThatTheCentreCannotKnow) {
  const Folder folder;
  const LoadResult result =
      folder.Parse(RelayWith({{kTls, "    tls: {}\n"}, {"    token_file: $DIR/token\n", ""}}));
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings,
              Contains("t.yaml:6:3: warning: upstream.tokend: has neither a client certificate nor "
                       "token_file: the central tokend cannot know who this relay is"));
}

TEST(Relay, WatchesItsCertificateKeyAndToken) {
  const Folder folder;
  const LoadResult result = folder.Parse(kRelay);
  ASSERT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(
      result.config->files,
      testing::UnorderedElementsAre(folder.Path("ca.pem"), folder.Path("cert.pem"), folder.Path("key.pem"),
                                    folder.Path("token"), folder.Path("fingerprint_key")));
}

TEST(Relay, PrintsAConfigurationThatLoadsAgainToItself) {
  const Folder folder;
  const LoadResult once = folder.Parse(kRelay);
  ASSERT_THAT(once.errors, IsEmpty());
  const LoadResult twice = Parse(once.config->effective, "effective.yaml");
  EXPECT_THAT(twice.errors, IsEmpty());
  EXPECT_EQ(twice.config->effective, once.config->effective);
}

struct Fault {
  std::vector<Edit> edits;
  std::vector<std::string> errors;  // without "t.yaml:"; LINE:COLUMN: error: …
};

std::vector<Fault> FaultsOfTheUpstream() {
  return {
      {{{"    address: central.svc:8443\n", ""}}, {"6:3: error: upstream.tokend.address: is required"}},
      {{{"timeout:", "timeot:"}},
       {"11:5: error: upstream.tokend: unknown key \"timeot\"; did you mean \"timeout\"?"}},
      {{{kRemote, "central.svc"}}, {"7:14: error: upstream.tokend.address: has no port: write host:port"}},
      {{{kTls, ""}, {kNameAndToken, ""}},
       {"7:14: error: upstream.tokend.address: needs tls: it is neither a unix socket nor a loopback "
        "address"}},
      {{{kRemote, "127.0.0.1:8443"}, {kTls, ""}},
       {"8:18: error: upstream.tokend.server_name: is used only with TLS: add tls",
        "9:17: error: upstream.tokend.token_file: is used only with TLS: add tls"}},
      {{{kRemote, "unix:///run/c.sock"}},
       {"8:5: error: upstream.tokend.tls: a unix socket has no TLS: give an address with host and port"}},
      {{{kRemote, "unix:///run/c.sock"}, {kTls, ""}, {"    server_name: tokend.example\n", ""}},
       {"8:17: error: upstream.tokend.token_file: is used only with TLS: add tls"}},
      {{{", private_key_file: $DIR/key.pem", ""}},
       {"8:5: error: upstream.tokend.tls: certificate_file and private_key_file are given together, or "
        "neither"}},
      {{{"server_name: tokend.example", "server_name: tokend.example:8443"}},
       {"9:18: error: upstream.tokend.server_name: must be a host's name or IP address, without a port"}},
      {{{"$DIR/token", "/nowhere"}},
       {"10:17: error: upstream.tokend.token_file: the file cannot be read: No such file or directory"}},
      {{{"policy:",
         "  applivery:\n    organizations: [{name: acme, api_key: {file: $DIR/api_key}}, {name: other, "
         "api_key: {env: KEY}}]\npolicy:"}},
       {"6:3: error: upstream.tokend: cannot stand beside applivery: give one of them"}},
  };
}

std::vector<Fault> FaultsOfThePolicyAndTheState() {
  return {
      {{{"      organizations: [acme]\n", ""}},
       {"20:7: error: policy.grants[1].organizations: is required with upstream.tokend: name each "
        "organization of the grant"}},
      {{{"[acme, other]", "[acme, \"oth*\", \"*\"]"}},
       {"17:29: error: policy.grants[0].organizations[1]: must be a name with upstream.tokend: a relay has "
        "no list of organizations for a pattern",
        "17:37: error: policy.grants[0].organizations[2]: must be a name with upstream.tokend: a relay has "
        "no list of organizations for a pattern"}},
      {{{"audit:", "state: {redis: {address: \"unix:///r\", encryption_key_file: $DIR/redis_key}}\naudit:"}},
       {"25:9: error: state.redis: a relay keeps its state in memory: use state.memory"}},
  };
}

TEST(Relay, EveryFaultIsNamedWithItsPlace) {
  const Folder folder;
  std::vector<Fault> faults = FaultsOfTheUpstream();
  for (Fault& fault : FaultsOfThePolicyAndTheState()) faults.push_back(std::move(fault));
  for (const auto& [edits, errors] : faults) {
    std::vector<std::string> expected;
    for (const std::string& error : errors) expected.push_back("t.yaml:" + error);
    EXPECT_THAT(folder.Parse(RelayWith(edits)).errors, ElementsAreArray(expected)) << errors.front();
  }
}

TEST(Relay, NoKeyOfItsUpstreamChangesWhileItRuns) {
  const Folder folder;
  const LoadResult started = folder.Parse(kRelay);
  ASSERT_THAT(started.errors, IsEmpty());
  const std::vector<std::pair<std::string, std::string>> edits = {
      {kRemote, "central.svc:8444"},
      {"ca_file: $DIR/ca.pem", "ca_file: $DIR/cert.pem"},
      {"tokend.example", "example.org"},
      {"$DIR/token", "$DIR/jwks.json"},
      {"35s", "36s"},
      {"max_in_flight: 99", "max_in_flight: 98"}};
  for (const auto& [find, replace] : edits) {
    const std::string text = folder.Fill(RelayWith({{find, replace}}));
    EXPECT_THAT(Parse(text, "t.yaml", &*started.config).errors,
                ElementsAre(HasSubstr("cannot change while the daemon runs")))
        << replace;
  }
  const std::string other_grants = folder.Fill(RelayWith({{"[acme, other]", "[acme]"}}));
  EXPECT_THAT(Parse(other_grants, "t.yaml", &*started.config).errors, IsEmpty());
}

TEST(Relay, AReloadNeitherMakesARelayNorUnmakesOne) {
  const Folder folder;
  const LoadResult plain = folder.Parse(kMinimal);
  const LoadResult relay = folder.Parse(kRelay);
  ASSERT_TRUE(plain.config && relay.config);
  EXPECT_THAT(Parse(folder.Fill(kRelay), "t.yaml", &*plain.config).errors, Not(IsEmpty()));
  EXPECT_THAT(Parse(folder.Fill(kMinimal), "t.yaml", &*relay.config).errors, Not(IsEmpty()));
}

}  // namespace
}  // namespace tokend::config
