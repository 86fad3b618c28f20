#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config/steps.h"
#include "tests/unit/config/fixture.h"

namespace tokend::config {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(Effective, FillsInEveryDefault) {
  const Folder folder;
  const LoadResult result = folder.Parse(kMinimal);
  ASSERT_THAT(result.errors, IsEmpty());
  EXPECT_EQ(result.config->effective, folder.Fill(R"(listeners:
  - name: "edge"
    address: "unix:///run/t.sock"
    socket_mode: "0660"
    authentication:
      none:
        caller: "dev"
upstream:
  applivery:
    base_url: "https://api.applivery.io"
    allow_http: false
    organizations:
      - name: "acme"
        api_key:
          file: "$DIR/api_key"
    connect_timeout: 5s
    timeout: 30s
    max_in_flight: 256
    connection_max_requests: 500
    connection_max_age: 10m
    connection_max_idle: 4s
    max_response_size: 64KiB
policy:
  grants:
    - name: "ci"
      callers: ["dev"]
      organizations: ["*"]
      applications: ["ios-app"]
      scopes: ["sdk"]
      default_scopes: ["sdk"]
      description: "{description}"
requests:
  remember: 10m
  max_entries: 100000
state:
  memory: {}
audit:
  stdout: {}
  deadline: 2s
server:
  max_in_flight: 1024
  drain_delay: 0s
  drain: 20s
log:
  level: info
  format: json
)"));
}

TEST(Effective, LoadsAgainToItself) {
  const Folder folder;
  std::string without_grants(kMinimal);
  without_grants.replace(without_grants.find("policy:"),
                         without_grants.find("audit:") - without_grants.find("policy:"),
                         "policy: {grants: []}\n");
  for (const std::string& text :
       {std::string(kMinimal), std::string(kFull), without_grants,
        Folder::Replace(std::string(kFull), "[{caller} {request_id}]", R"(\"\\ äöü 😀 # x: 'y')")}) {
    const LoadResult once = folder.Parse(text);
    ASSERT_THAT(once.errors, IsEmpty()) << text;
    const LoadResult twice = Parse(once.config->effective, "effective.yaml");
    ASSERT_THAT(twice.errors, IsEmpty()) << once.config->effective;
    EXPECT_EQ(twice.config->effective, once.config->effective);
    EXPECT_EQ(twice.config->fingerprint, once.config->fingerprint);
  }
}

TEST(Effective, DoesNotDependOnHowTheFileIsWritten) {
  const Folder folder;
  const std::string plain = folder.Parse(kFull).config->effective;
  std::string other = Folder::Replace(std::string(kFull), "/api/", "/api");
  other = Folder::Replace(other, "90s", "90000ms");
  other = Folder::Replace(other, "1MiB", "1024KiB");
  other = "# a comment\n" + Folder::Replace(other, "state:\n  memory: {}\n", "");
  EXPECT_EQ(folder.Parse(other).config->effective, plain);
}

TEST(Effective, HoldsNoByteOfAnApiKey) {
  const Folder folder;
  folder.Write("api_key", "very-secret-key", 0400);
  EXPECT_THAT(folder.Parse(kFull).config->effective, Not(HasSubstr("very-secret-key")));
}

TEST(Fingerprint, IsTheBeginningOfTheSha256) {
  EXPECT_EQ(Fingerprint("abc"), "ba7816bf8f01cfea");  // FIPS 180-2, appendix B.1
}

TEST(Fingerprint, IsOfTheEffectiveText) {
  const Folder folder;
  const LoadResult result = folder.Parse(kFull);
  EXPECT_EQ(result.config->fingerprint, Fingerprint(result.config->effective));
}

}  // namespace
}  // namespace tokend::config
