#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/client/process.h"

namespace tokend::client {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::string_view kBeforeOrganizations =
    "listeners:\n"
    "  - {name: a, address: 127.0.0.1:1, authentication: {jwt: {issuer: i, audience: a, jwks_file: "
    "/nowhere/jwks}}}\n"
    "audit: {stdout: {}}\n"
    "policy:\n"
    "  grants:\n"
    "    - {name: mobile-ci, callers: [\"ci:*\"], applications: [ios-app, \"android-*\"], scopes: [sdk]}\n"
    "    - {name: release, callers: [\"ci:release\"], applications: [\"*\"], scopes: [sdk, beta]}\n"
    "upstream:\n"
    "  applivery:\n"
    "    organizations:\n"
    "      - {name: acme, api_key: {file: /nowhere/key}}\n";

class PolicyCommands : public testing::Test {
 protected:
  PolicyCommands() { Write("tokend.yaml", std::string(kBeforeOrganizations)); }

  std::string Write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name) << content;
    return folder_ / name;
  }

  Ended Run(const std::string& command, std::vector<std::string> options) {
    options.insert(options.begin(), {TOKENCTL, "policy", command, "--config", folder_ / "tokend.yaml"});
    return RunProgram(std::move(options));
  }

  Ended Replay(const std::string& log) { return Run("replay", {"--audit", Write("audit.jsonl", log)}); }

  // The next record of the log, with the given members besides seq, time, event and prev.
  std::string Record(const std::string& event, const std::string& members) {
    return R"({"seq":)" + std::to_string(++sequence_) + R"(,"time":"2026-01-01T00:00:00.000000Z","event":")" +
           event + R"(",)" + members + R"(,"prev":")" + std::string(64, '0') + "\"}\n";
  }

  fakes::TemporaryFolder folder_;
  int sequence_ = 0;
};

std::string Asked(const std::string& caller, const std::string& application) {
  return R"("caller":{"name":")" + caller + R"("},"target":{"organization":"acme","application":")" +
         application + R"(","scopes":["sdk"]})";
}

std::string By(const std::string& grant) { return R"(,"grant":")" + grant + "\""; }

TEST_F(PolicyCommands, ExplainSaysOfEveryGrantWhatItLackedWithoutTheSecretsThatTheConfigurationNames) {
  const Ended ended = Run("explain", {"--caller", "ci:release", "--app", "ios-app", "--scope", "beta"});
  EXPECT_EQ(ended.exit, 0) << ended.err;
  EXPECT_EQ(ended.out,
            "permitted by release\n"
            "\n"
            "GRANT      VERDICT\n"
            "mobile-ci  no: scopes does not match\n"
            "release    decides\n");
}

TEST_F(PolicyCommands, ExplainTellsTheGrantThatDecidesFromOneThatWouldMatchToo) {
  EXPECT_THAT(Run("explain", {"--caller", "ci:release", "--app", "ios-app"}).out,
              HasSubstr("mobile-ci  decides\nrelease    matches, but an earlier grant decides\n"));
}

TEST_F(PolicyCommands, ExplainEndsWithFiveWhereTheRequestIsDenied) {
  const Ended ended = Run("explain", {"--caller", "ci:other", "--app", "web", "--output", "json"});
  EXPECT_EQ(ended.exit, 5);
  EXPECT_EQ(ended.out, R"({"grant":"mobile-ci","matches":false,"decides":false,"failed":"application"})"
                       "\n"
                       R"({"grant":"release","matches":false,"decides":false,"failed":"caller"})"
                       "\n");
}

TEST_F(PolicyCommands, ExplainTakesWhatTheDaemonWouldRefuseAsAMistakeAndNoDenial) {
  for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
           {"--caller", "ci release", "--app", "web"},
           {"--caller", "", "--app", "web"},
           {"--caller", "ci:a", "--app", "a/b"},
           {"--caller", "ci:a", "--app", "web", "--org", "a b"},
           {"--caller", "ci:a", "--app", "web", "--scope", "a b"},
           {"--caller", "ci:a", "--app", "web", "--scope", "sdk", "--scope", "sdk"},
           {"--caller", "ci:a"},
       }) {
    const Ended ended = Run("explain", wrong);
    EXPECT_EQ(ended.exit, 2) << testing::PrintToString(wrong);
    EXPECT_THAT(ended.out, IsEmpty());
    EXPECT_THAT(ended.err, Not(IsEmpty()));
  }
}

TEST_F(PolicyCommands, ExplainWantsTheOrganizationWhereSeveralAreConfigured) {
  Write("tokend.yaml",
        std::string(kBeforeOrganizations) + "      - {name: beta, api_key: {file: /nowhere/key}}\n");
  const Ended unsaid = Run("explain", {"--caller", "ci:a", "--app", "ios-app"});
  EXPECT_EQ(unsaid.exit, 2);
  EXPECT_THAT(unsaid.err, HasSubstr("several organizations"));
  EXPECT_EQ(Run("explain", {"--caller", "ci:a", "--app", "ios-app", "--org", "beta"}).exit, 0);
}

TEST_F(PolicyCommands, SayWhereAConfigurationIsWrong) {
  Write("tokend.yaml", "listeners: 1\n");
  const Ended ended = Run("explain", {"--caller", "ci:a", "--app", "web"});
  EXPECT_EQ(ended.exit, 2);
  EXPECT_THAT(ended.err, HasSubstr("tokend.yaml:1:12: error: listeners: must be a list"));
}

TEST_F(PolicyCommands, ReplayShowsWhatIsDecidedOtherwiseByCallerAndApplication) {
  const Ended ended = Replay(Record("token.intended", Asked("ci:a", "web") + By("old")) +
                             Record("token.issued", Asked("ci:a", "web") + By("old")) +
                             Record("token.intended", Asked("ci:a", "web") + By("old")) +
                             Record("request.denied", Asked("ci:release", "web") + R"(,"count":12)") +
                             Record("request.validated", Asked("ci:a", "ios-app") + By("old")) +
                             Record("token.replayed", Asked("ci:a", "ios-app") + By("mobile-ci")) +
                             Record("request.denied", Asked("ci:b", "web")));
  EXPECT_EQ(ended.exit, 0) << ended.err;
  EXPECT_THAT(ended.err, IsEmpty());
  EXPECT_EQ(ended.out,
            "requests: 17\n"
            "decided otherwise: 15\n"
            "\n"
            "CHANGE         REQUESTS  CALLER      ORGANIZATION  APPLICATION  GRANT BEFORE  GRANT NOW\n"
            "another grant  1         ci:a        acme          ios-app      old           mobile-ci\n"
            "now denied     2         ci:a        acme          web          old\n"
            "now permitted  12        ci:release  acme          web                        release\n");
}

TEST_F(PolicyCommands, ReplayCountsARefusalByALimitAsPermittedWhereAGrantDecidedIt) {
  const Ended ended = Replay(Record("request.limited", Asked("ci:a", "web") + By("old")) +
                             Record("request.failed", Asked("ci:a", "web") + By("old")) +
                             Record("request.limited", Asked("ci:a", "web")) +
                             Record("request.denied", R"("reason":"NOT_PERMITTED","count":900)"));
  EXPECT_EQ(ended.exit, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("requests: 2\ndecided otherwise: 2\n"));
}

TEST_F(PolicyCommands, ReplaySaysThatAFileHoldsNoDecision) {
  const Ended other = Replay("this is\nno log\n");
  EXPECT_EQ(other.exit, 2);
  EXPECT_THAT(other.out, IsEmpty());
  EXPECT_THAT(other.err, HasSubstr("is no audit log: its 2 lines are no records"));
  EXPECT_EQ(Replay(Record("daemon.started", R"("config":"0")")).exit, 9);
  EXPECT_EQ(Run("replay", {"--audit", folder_ / "missing.jsonl"}).exit, 2);
}

TEST_F(PolicyCommands, ReplayReadsEachLogAndEachCopyOnce) {
  const std::string one = Write("one.jsonl", Record("token.intended", Asked("ci:a", "web") + By("old")) +
                                                 Record("request.denied", Asked("ci:a", "web")));
  sequence_ = 0;
  const std::string two = Write("two.jsonl", Record("token.intended", Asked("ci:b", "web") + By("old")));
  std::filesystem::copy_file(one, folder_ / "copy.jsonl");
  const Ended ended = Run("replay", {"--audit", one, two, folder_ / "copy.jsonl"});
  EXPECT_EQ(ended.exit, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("requests: 3\n"));
  EXPECT_THAT(ended.err, HasSubstr("they count once"));
}

TEST_F(PolicyCommands, ListsAreAlsoCsv) {
  EXPECT_EQ(Run("explain", {"--caller", "ci:release", "--app", "ios-app", "--output", "csv"}).out,
            "grant,verdict\n"
            "mobile-ci,decides\n"
            "release,\"matches, but an earlier grant decides\"\n");
}

}  // namespace
}  // namespace tokend::client
