#include "daemon/config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/base/peer_user.h"
#include "tests/unit/config/fixture.h"

namespace tokend::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Load, MapsEveryListenerKey) {
  const Folder folder;
  const LoadResult result = folder.Parse(kFull);
  ASSERT_THAT(result.errors, IsEmpty());
  ASSERT_EQ(result.config->listeners.size(), 5U);

  const Listener& pod = result.config->listeners[0];
  EXPECT_EQ(pod.name, "pod");
  EXPECT_EQ(std::get<UnixAddress>(pod.address).path, "/run/tokend/tokend.sock");
  EXPECT_EQ(pod.socket_mode, 0600U);
  EXPECT_FALSE(pod.tls);
  EXPECT_EQ(std::get<NoAuthentication>(pod.authentication).caller, "dev");

  const Listener& cluster = result.config->listeners[1];
  EXPECT_EQ(cluster.name, "cluster");
  EXPECT_EQ(std::get<TcpAddress>(cluster.address).host, "127.0.0.1");
  EXPECT_EQ(std::get<TcpAddress>(cluster.address).port, 8443);
  EXPECT_EQ(cluster.tls->certificate_file, folder.Path("cert.pem"));
  EXPECT_EQ(cluster.tls->private_key_file, folder.Path("key.pem"));
  EXPECT_EQ(cluster.tls->client_ca_file, folder.Path("ca.pem"));
  EXPECT_TRUE(std::holds_alternative<MtlsAuthentication>(cluster.authentication));

  const auto& containers = std::get<UnixAuthentication>(result.config->listeners[2].authentication);
  EXPECT_EQ(containers, (UnixAuthentication{{{1000, "unix:checkout"}, {1001, "unix:billing"}}}));

  const auto& projected = std::get<JwtAuthentication>(result.config->listeners[3].authentication);
  EXPECT_EQ(projected.issuer, "https://kubernetes.default.svc");
  EXPECT_EQ(projected.audience, "tokend");
  EXPECT_EQ(std::get<JwksUrl>(projected.jwks), (JwksUrl{"https://kubernetes.default.svc/openid/v1/jwks?a=b",
                                                        folder.Path("ca.pem"), folder.Path("api_key")}));
  EXPECT_EQ(projected.caller_template, "k8s:{/kubernetes.io/namespace}");
  EXPECT_EQ(projected.trust_domain, "cluster.local");

  const auto& offline = std::get<JwtAuthentication>(result.config->listeners[4].authentication);
  EXPECT_EQ(std::get<JwksFile>(offline.jwks).path, folder.Path("jwks.json"));
  EXPECT_EQ(offline.caller_template, "ci:{sub}");
  EXPECT_EQ(offline.trust_domain, "");
}

TEST(Load, MapsEveryUpstreamKey) {
  const Folder folder;
  const LoadResult result = folder.Parse(kFull);
  ASSERT_THAT(result.errors, IsEmpty());
  const auto& applivery = std::get<Applivery>(result.config->upstream);
  const std::vector<Organization>& organizations = result.config->organizations;
  EXPECT_EQ(applivery.base_url, "http://[::1]:8080/api");
  EXPECT_TRUE(applivery.allow_http);
  EXPECT_EQ(applivery.ca_file, folder.Path("ca.pem"));
  ASSERT_EQ(organizations.size(), 3U);
  EXPECT_EQ(organizations[0].name, "acme");
  EXPECT_EQ(std::get<KeyFile>(*organizations[0].api_key).path, folder.Path("api_key"));
  EXPECT_EQ(organizations[1].name, "5e1000000000000000000001");
  EXPECT_EQ(std::get<KeyEnvironment>(*organizations[1].api_key).variable, "APPLIVERY_API_KEY");
  EXPECT_EQ(std::get<KeyCredential>(*organizations[2].api_key).name, "other-key");
  EXPECT_EQ(applivery.connect_timeout, milliseconds(250));
  EXPECT_EQ(applivery.timeout, seconds(45));
  EXPECT_EQ(applivery.max_in_flight, 99U);
  EXPECT_EQ(applivery.proxy, "http://proxy.corp:3128");
  EXPECT_EQ(applivery.connection_max_requests, 77U);
  EXPECT_EQ(applivery.connection_max_age, minutes(5));
  EXPECT_EQ(applivery.connection_max_idle, seconds(3));
  EXPECT_EQ(applivery.max_response_size, 128U * 1024);
}

TEST(Load, MapsEveryOtherKey) {
  const Folder folder;
  const LoadResult result = folder.Parse(kFull);
  ASSERT_THAT(result.errors, IsEmpty());
  const Config& config = *result.config;
  ASSERT_EQ(config.grants.size(), 1U);
  EXPECT_EQ(config.grants[0].name, "mobile-ci");
  EXPECT_THAT(config.grants[0].callers, ElementsAre("spiffe://example.org/ci/*"));
  EXPECT_THAT(config.grants[0].organizations, ElementsAre("acme", "oth*"));
  EXPECT_THAT(config.grants[0].applications, ElementsAre("ios-app", "android-*"));
  EXPECT_THAT(config.grants[0].scopes, ElementsAre("sdk", "other:scope"));
  EXPECT_THAT(config.grants[0].default_scopes, ElementsAre("sdk"));
  EXPECT_EQ(config.grants[0].description_template, "{description} [{caller} {request_id}]");
  EXPECT_EQ(config.requests.remember, hours(24));
  EXPECT_EQ(config.requests.max_entries, 5000U);
  EXPECT_EQ(config.audit.file->path, "/var/log/tokend/audit.jsonl");
  EXPECT_EQ(config.audit.file->max_size, 1U << 20U);
  EXPECT_EQ(config.audit.file->keep, 7U);
  EXPECT_TRUE(config.audit.to_stdout);
  EXPECT_EQ(config.audit.deadline, milliseconds(1500));
  EXPECT_EQ(config.audit.signing_key_file, folder.Path("signing_key.pem"));
  EXPECT_EQ(config.audit.fingerprint_key_file, folder.Path("fingerprint_key"));
  EXPECT_EQ(config.server.max_in_flight, 64U);
  EXPECT_EQ(config.server.drain, seconds(90));
  EXPECT_EQ(ToString(*config.admin), "127.0.0.1:9464");
  EXPECT_EQ(config.log.level, LogLevel::kWarning);
  EXPECT_EQ(config.log.format, LogFormat::kText);
}

TEST(Load, FillsInTheDocumentedDefaults) {
  const Folder folder;
  const LoadResult result =
      folder.Parse(Folder::Replace(std::string(kMinimal), "stdout: {}", "file: {path: a}"));
  ASSERT_THAT(result.errors, IsEmpty());
  const Config& config = *result.config;
  const auto& applivery = std::get<Applivery>(config.upstream);
  EXPECT_EQ(config.listeners[0].socket_mode, 0660U);
  EXPECT_EQ(applivery.base_url, "https://api.applivery.io");
  EXPECT_FALSE(applivery.allow_http);
  EXPECT_EQ(applivery.ca_file, "");
  EXPECT_EQ(applivery.connect_timeout, seconds(5));
  EXPECT_EQ(applivery.timeout, seconds(30));
  EXPECT_EQ(applivery.max_in_flight, 256U);
  EXPECT_EQ(applivery.proxy, "");
  EXPECT_EQ(applivery.connection_max_requests, 500U);
  EXPECT_EQ(applivery.connection_max_age, minutes(10));
  EXPECT_EQ(applivery.connection_max_idle, seconds(4));
  EXPECT_EQ(applivery.max_response_size, 64U * 1024);
  EXPECT_THAT(config.grants[0].organizations, ElementsAre("*"));
  EXPECT_THAT(config.grants[0].default_scopes, ElementsAre("sdk"));
  EXPECT_EQ(config.grants[0].description_template, "{description}");
  EXPECT_EQ(config.requests.remember, minutes(10));
  EXPECT_EQ(config.requests.max_entries, 100000U);
  EXPECT_EQ(config.audit.file->max_size, 256U << 20U);
  EXPECT_EQ(config.audit.file->keep, 30U);
  EXPECT_FALSE(config.audit.to_stdout);
  EXPECT_EQ(config.audit.deadline, seconds(2));
  EXPECT_EQ(config.audit.fingerprint_key_file, "");
  EXPECT_EQ(config.server.max_in_flight, 1024U);
  EXPECT_EQ(config.server.drain, seconds(20));
  EXPECT_FALSE(config.admin);
  EXPECT_EQ(config.log.level, LogLevel::kInfo);
  EXPECT_EQ(config.log.format, LogFormat::kJson);
}

TEST(Load, WarnsOfWhatIsAllowedButUnwise) {
  const Folder folder;
  const LoadResult result = folder.Parse(kMinimal);
  ASSERT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(
      result.warnings,
      ElementsAre(
          "t.yaml:4:22: warning: listeners[0].authentication.none: everyone who can connect is this "
          "caller: for development only",
          "t.yaml:16:1: warning: audit: without fingerprint_key_file the key is made at start and lost "
          "at stop: tokens then cannot be matched with records of an earlier run",
          "t.yaml:17:3: warning: audit.stdout: without audit.file a restart forgets all request_ids: "
          "callers' request_ids are refused for requests.remember after each start"));
  EXPECT_EQ(result.config->warnings, result.warnings);
}

TEST(Load, WarnsOfACallerThatIsTheOverflowUid) {
  const Folder folder;
  const auto with_uid = [&](const std::string& uid) {
    return folder
        .Parse(Folder::Replace(std::string(kMinimal), "{none: {caller: dev}}",
                               "{unix: {callers: [{uid: " + uid + ", name: \"unix:x\"}]}}"))
        .warnings;
  };
  const auto is_said = testing::Contains(HasSubstr("callers[0].uid: is the overflow uid"));
  EXPECT_THAT(with_uid(std::to_string(OverflowUid())), is_said);
  EXPECT_THAT(with_uid("1000"), testing::Not(is_said));
}

TEST(Load, WarnsOfPlaintextThatLeavesTheMachine) {
  const Folder folder;
  const auto with_url = [&](std::string_view url) {
    return folder.Parse(Folder::Replace(std::string(kFull), "http://[::1]:8080/api/", url)).warnings;
  };
  EXPECT_THAT(with_url("http://api.example.org"),
              testing::Contains(HasSubstr("base_url: API keys and tokens cross the network unprotected")));
  EXPECT_THAT(with_url("http://localhost:1"), testing::Not(testing::Contains(HasSubstr("base_url"))));
}

TEST(Load, WarnsOfABaseUrlThatNamesTheVersion) {
  const Folder folder;
  const auto with_url = [&](std::string_view url) {
    return folder.Parse(Folder::Replace(std::string(kFull), "http://[::1]:8080/api/", url)).warnings;
  };
  for (const char* url : {"https://api.applivery.io/v1", "https://api.applivery.io/v1/"}) {
    EXPECT_THAT(with_url(url), testing::Contains(HasSubstr("base_url: ends with /v1"))) << url;
  }
  for (const char* url :
       {"https://api.applivery.io", "https://gateway.test/v10", "https://gateway.test/v1/x"}) {
    EXPECT_THAT(with_url(url), testing::Not(testing::Contains(HasSubstr("base_url")))) << url;
  }
}

TEST(Load, WarnsOfAPolicyThatPermitsNothing) {
  const Folder folder;
  std::string text(kMinimal);
  text.replace(text.find("policy:"), text.find("audit:") - text.find("policy:"), "policy: {grants: []}\n");
  const LoadResult result = folder.Parse(text);
  ASSERT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings,
              testing::Contains("t.yaml:10:10: warning: policy.grants: is empty: every request is denied"));
}

TEST(Load, WarnsOfAnOrganizationPatternThatMatchesNone) {
  const Folder folder;
  const LoadResult result = folder.Parse(Folder::Replace(std::string(kFull), "oth*", "umbrella-*"));
  EXPECT_THAT(
      result.warnings,
      testing::Contains(HasSubstr("policy.grants[0].organizations[1]: matches no configured organization")));
}

TEST(Load, ReadsAFile) {
  const Folder folder;
  folder.Write("tokend.yaml", folder.Fill(kFull), 0644);
  const LoadResult result = Load(folder.Path("tokend.yaml"));
  ASSERT_THAT(result.errors, IsEmpty());
  EXPECT_EQ(result.config->effective, folder.Parse(kFull).config->effective);
}

TEST(Load, NamesAFileThatItCannotRead) {
  const Folder folder;
  const std::string missing = folder.Path("missing.yaml");
  EXPECT_THAT(Load(missing).errors,
              ElementsAre(missing + ":1:1: error: cannot be read: No such file or directory"));
  EXPECT_THAT(Load(folder.Path("")).errors,
              ElementsAre(folder.Path("") + ":1:1: error: is not a regular file"));
}

TEST(Load, DoesNotWaitForAPipe) {
  const Folder folder;
  const std::string pipe = folder.Path("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(Load(pipe).errors, ElementsAre(pipe + ":1:1: error: is not a regular file"));
}

TEST(Load, RefusesAFileThatIsTooLarge) {
  const Folder folder;
  folder.Write("large.yaml", folder.Fill(kMinimal) + std::string(kMaxFileSize, '#'), 0644);
  EXPECT_THAT(Load(folder.Path("large.yaml")).errors,
              ElementsAre(folder.Path("large.yaml") + ":1:1: error: is larger than 16 MiB"));
}

// A configuration with two jwt listeners, the issuers i and j.
LoadResult WithTwoIssuers(const Folder& folder, const std::string& first, const std::string& second) {
  const auto listener = [](const std::string& name, const std::string& issuer, const std::string& members) {
    return "  - name: " + name + "\n    address: 127.0.0.1:0\n    authentication: {jwt: {issuer: " + issuer +
           ", audience: a, jwks_file: $DIR/jwks.json" + members + "}}\n";
  };
  return folder.Parse(
      Folder::Replace(std::string(kMinimal), "upstream:\n",
                      listener("one", "i", first) + listener("two", "j", second) + "upstream:\n"));
}

TEST(Load, RefusesTwoIssuersThatCouldNameTheSameCallers) {
  const Folder folder;
  for (const auto& [first, second] : std::vector<std::pair<std::string, std::string>>{
           {"", ""},
           {"", ", caller: \"ci:{sub}\""},
           {", caller: \"ci:{sub}\"", ", caller: \"ci:{sub}\""},
           {", caller: \"ci:{sub}\"", ", caller: \"ci:jobs:{sub}\""},
           {", trust_domain: a.example", ""},
           {", trust_domain: a.example", ", trust_domain: a.example"},
           {", trust_domain: a.example, caller: \"ci:{sub}\"",
            ", trust_domain: b.example, caller: \"ci:{sub}\""}}) {
    EXPECT_THAT(
        WithTwoIssuers(folder, first, second).errors,
        ElementsAre(HasSubstr("listeners[2].authentication.jwt: can make the same names as listeners[1], "
                              "which has another issuer: ")))
        << first << second;
  }
}

TEST(Load, TakesTwoIssuersWhoseCallersAreKeptApart) {
  const Folder folder;
  for (const auto& [first, second] : std::vector<std::pair<std::string, std::string>>{
           {", caller: \"ci:{sub}\"", ", caller: \"k8s:{sub}\""},
           {", trust_domain: a.example", ", trust_domain: b.example"},
           {", trust_domain: a.example, caller: \"spiffe://a.example/{sub}\"",
            ", trust_domain: b.example, caller: \"spiffe://b.example/{sub}\""}}) {
    const LoadResult result = WithTwoIssuers(folder, first, second);
    ASSERT_THAT(result.errors, testing::IsEmpty()) << first << second;
    for (const std::size_t i : {1U, 2U}) {
      const auto& jwt = std::get<JwtAuthentication>(result.config->listeners[i].authentication);
      EXPECT_EQ(jwt.only_trust_domain, first == ", trust_domain: a.example");
    }
  }
  const LoadResult same_issuer = folder.Parse(Folder::Replace(
      std::string(kMinimal), "upstream:\n",
      "  - {name: a, address: \"127.0.0.1:0\", authentication: {jwt: {issuer: i, audience: a, "
      "jwks_file: $DIR/jwks.json}}}\n"
      "  - {name: b, address: \"127.0.0.1:0\", authentication: {jwt: {issuer: i, audience: b, "
      "jwks_file: $DIR/jwks.json}}}\nupstream:\n"));
  ASSERT_THAT(same_issuer.errors, testing::IsEmpty());
  const auto& jwt = std::get<JwtAuthentication>(same_issuer.config->listeners[1].authentication);
  EXPECT_EQ(jwt.caller_template, "{sub}") << "the default";
  EXPECT_FALSE(jwt.only_trust_domain);
}

}  // namespace
}  // namespace tokend::config
