#include <absl/strings/ascii.h>
#include <absl/strings/str_replace.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/client/fake_tokend.h"
#include "tests/unit/client/process.h"
#include "tests/unit/client/raw_daemon.h"

namespace tokend::client {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

using Code = grpc::StatusCode;

constexpr char kId[] = "0a1b2c3d-0000-4000-8000-000000000001";

class Tokenctl : public testing::Test {
 protected:
  Ended Run(std::vector<std::string> arguments, const std::string& out = "") {
    arguments.insert(arguments.begin(), TOKENCTL);
    return RunProgram(std::move(arguments), environment_, out);
  }

  fakes::TemporaryFolder folder_;
  std::string socket_ = folder_ / "tokend.sock";
  std::string address_ = "unix://" + socket_;
  std::vector<std::string> environment_ = {"TOKEND_ADDRESS=" + address_};
  FakeTokend tokend_{"unix:" + socket_};
};

TEST_F(Tokenctl, CreatesATokenAndPrintsALineAField) {
  const Ended ended = Run({"create", "--app", "ios-app", "--org", "acme", "--scope", "sdk", "--scope",
                           "other", "--description", "a\nb", "--request-id", kId});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.out,
            "bearer: the-bearer\n"
            "id: cccccccccccccccccccccccc\n"
            "organization: aaaaaaaaaaaaaaaaaaaaaaaa\n"
            "application: bbbbbbbbbbbbbbbbbbbbbbbb\n"
            "description: a\\x0Ab\n"
            "scopes: sdk,other\n"
            "request_id: 0a1b2c3d-0000-4000-8000-000000000001\n"
            "replayed: false\n"
            "audit_sequence: 42\n");
  const v1::CreateTokenRequest request = tokend_.calls()[0].request;
  EXPECT_EQ(request.application(), "ios-app");
  EXPECT_EQ(request.organization(), "acme");
  EXPECT_THAT(request.scopes(), testing::ElementsAre("sdk", "other"));
  EXPECT_EQ(request.description(), "a\nb");
}

TEST_F(Tokenctl, PrintsTheBearerAlone) {
  const Ended ended = Run({"create", "--app", "ios-app", "--output", "bearer"});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_EQ(ended.out, "the-bearer\n");
  EXPECT_EQ(ended.err, "");
}

TEST_F(Tokenctl, PrintsTheResponseAsJsonWithProtoFieldNames) {
  const Ended ended =
      Run({"--output", "json", "create", "--app", "ios-app", "--scope", "sdk", "--request-id", kId});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_EQ(ended.out,
            R"({"token":{"id":"cccccccccccccccccccccccc","organization":"aaaaaaaaaaaaaaaaaaaaaaaa",)"
            R"("application":"bbbbbbbbbbbbbbbbbbbbbbbb","bearer":"the-bearer","scopes":["sdk"]},)"
            R"("request_id":"0a1b2c3d-0000-4000-8000-000000000001","audit_sequence":"42"})"
            "\n");
}

TEST_F(Tokenctl, DecidesAndCreatesNothingInADryRun) {
  const Ended ended = Run({"create", "--app", "ios-app", "--dry-run"});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_THAT(ended.out,
              AllOf(HasSubstr("request_id: "), Not(HasSubstr("bearer")), Not(HasSubstr("\nid: "))));
  EXPECT_TRUE(tokend_.calls()[0].request.validate_only());
}

TEST_F(Tokenctl, RepeatsItsRequestIdOnARetry) {
  tokend_.Script({{Code::UNAVAILABLE, "OVERLOADED", std::chrono::milliseconds(1)}});
  const Ended ended = Run({"create", "--app", "ios-app"});
  EXPECT_EQ(ended.exit, 0);
  const auto calls = tokend_.calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].request.request_id(), calls[1].request.request_id());
  EXPECT_THAT(ended.out, HasSubstr("request_id: " + calls[0].request.request_id()));
}

TEST_F(Tokenctl, LetsTheDaemonJudgeARequestId) {
  tokend_.Script({{.code = Code::INVALID_ARGUMENT,
                   .reason = "INVALID_REQUEST",
                   .fields = {{"request_id", "must be a UUID"}}}});
  const Ended ended = Run({"create", "--app", "ios-app", "--request-id", "mine"});
  EXPECT_EQ(ended.exit, 3);
  EXPECT_EQ(tokend_.calls()[0].request.request_id(), "mine");
  EXPECT_THAT(ended.err, HasSubstr("field request_id: must be a UUID"));
}

TEST_F(Tokenctl, ExplainsAnErrorOnStandardErrorAlone) {
  tokend_.Script({{.code = Code::RESOURCE_EXHAUSTED,
                   .reason = "RATE_LIMITED",
                   .retry_after = std::chrono::milliseconds(90500),
                   .quotas = {{"mobile-ci/minute", "10 tokens a minute"}},
                   .upstream_code = 5003,
                   .audit_sequence = 17,
                   .message = "a limit is spent\x1b[2J"}});
  const Ended ended = Run({"create", "--app", "ios-app", "--request-id", kId});
  EXPECT_EQ(ended.exit, 6);
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(ended.err,
            "tokenctl: RESOURCE_EXHAUSTED (RATE_LIMITED): a limit is spent\\x1B[2J\n"
            "  limit mobile-ci/minute: 10 tokens a minute\n"
            "  retry_after: 1m30.5s\n"
            "  upstream_code: 5003\n"
            "  audit_sequence: 17\n"
            "  request_id: 0a1b2c3d-0000-4000-8000-000000000001\n");
}

TEST_F(Tokenctl, SaysHowToAskAgainWhereATokenMayExist) {
  tokend_.Script({{Code::DEADLINE_EXCEEDED}});
  const Ended ended = Run({"create", "--app", "ios-app"});
  EXPECT_EQ(ended.exit, 7);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("a token may exist"), HasSubstr("ask again with this --request-id"),
                               HasSubstr(tokend_.calls()[0].request.request_id())));
}

TEST_F(Tokenctl, SaysWhereToLookForATokenThatAskingAgainCannotGet) {
  tokend_.Script({{.code = Code::UNKNOWN, .reason = "OUTCOME_UNKNOWN", .pushback = true}});
  const Ended ended = Run({"create", "--app", "ios-app"});
  EXPECT_EQ(ended.exit, 7);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("a token may exist"), HasSubstr("dashboard"),
                               Not(HasSubstr("ask again with this --request-id"))));
}

TEST_F(Tokenctl, ExitsAsUnknownWhereTheDaemonEndsDuringTheRequest) {
  RawDaemon* running = nullptr;
  RawDaemon daemon(folder_ / "killed.sock", [&](const RawDaemon::Request& request) {
    running->Vanish();
    request.Close();
  });
  running = &daemon;
  const Ended ended = Run({"create", "--app", "ios-app", "--timeout", "500ms", "--address",
                           "unix://" + (folder_ / "killed.sock")});
  EXPECT_EQ(ended.exit, 7);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err,
              AllOf(HasSubstr("a token may exist"), HasSubstr("ask again with this --request-id")));
}

TEST_F(Tokenctl, ExitsAsLaterWhereNothingWasSent) {
  const std::string nobody = "unix://" + (folder_ / "nobody.sock");
  const Ended ended = Run({"create", "--app", "ios-app", "--timeout", "300ms", "--address", nobody});
  EXPECT_EQ(ended.exit, 6);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("nothing listens at " + nobody), HasSubstr("nothing was sent"),
                               Not(HasSubstr("may exist"))));
}

TEST_F(Tokenctl, ExitsAsLaterWhereNothingWasProcessed) {
  const RawDaemon daemon(folder_ / "refuses.sock",
                         [](const RawDaemon::Request& request) { request.Reset(7); });
  const Ended ended = Run(
      {"create", "--app", "ios-app", "--timeout", "1s", "--address", "unix://" + (folder_ / "refuses.sock")});
  EXPECT_EQ(ended.exit, 6);
  EXPECT_THAT(ended.err,
              AllOf(HasSubstr("the daemon did not process the request"), Not(HasSubstr("may exist"))));
}

TEST_F(Tokenctl, PrintsNoBearerThatATerminalWouldObey) {
  tokend_.adorn = [](v1::CreateTokenResponse& answer) { answer.mutable_token()->set_bearer("a\n\x1b[2J"); };
  const Ended ended = Run({"create", "--app", "ios-app", "--output", "bearer"});
  EXPECT_EQ(ended.exit, 7);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, AllOf(HasSubstr("may exist"), Not(HasSubstr("\x1b"))));
}

TEST_F(Tokenctl, EscapesWhatTurnsTheDirectionOfText) {
  tokend_.adorn = [](v1::CreateTokenResponse& answer) {
    answer.mutable_token()->set_description("a\u202Eb\u2069c\u2028");
  };
  EXPECT_THAT(Run({"create", "--app", "ios-app"}).out, HasSubstr("description: a\\u202Eb\\u2069c\u2028\n"));
}

struct ExitRow {
  Code code;
  std::string reason;
  int exit;
};

TEST_F(Tokenctl, ExitsAsTheErrorsClass) {
  for (const ExitRow& row : std::vector<ExitRow>{
           {Code::INVALID_ARGUMENT, "INVALID_REQUEST", 3},
           {Code::ALREADY_EXISTS, "REQUEST_ID_REUSED", 3},
           {Code::UNAUTHENTICATED, "CALLER_UNKNOWN", 4},
           {Code::PERMISSION_DENIED, "NOT_PERMITTED", 5},
           {Code::NOT_FOUND, "APPLICATION_NOT_FOUND", 5},
           {Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", 6},
           {Code::UNAVAILABLE, "SHUTTING_DOWN", 6},
           {Code::FAILED_PRECONDITION, "UPSTREAM_KEY_REJECTED", 1},
           {Code::UNIMPLEMENTED, "", 1},
           {Code::UNKNOWN, "OUTCOME_UNKNOWN", 7},
           {Code::INTERNAL, "UPSTREAM_INVALID_RESPONSE", 7},
           {Code::DEADLINE_EXCEEDED, "", 7},
           {Code::CANCELLED, "", 7},
       }) {
    const Failing failing{row.code, row.reason};
    tokend_.Script({failing, failing});
    for (const auto& command : std::vector<std::vector<std::string>>{{"create", "--app", "a"}, {"whoami"}}) {
      const Ended ended = Run(command);
      const int exit = row.exit == 7 && command[0] == "whoami" ? 6 : row.exit;
      EXPECT_EQ(ended.exit, exit) << row.code << ended.err;
      EXPECT_EQ(ended.err.find("may exist") != std::string::npos, exit == 7) << ended.err;
      EXPECT_EQ(ended.out, "");
      EXPECT_THAT(ended.err, StartsWith("tokenctl: "));
      EXPECT_THAT(ended.err, HasSubstr(row.reason));
    }
  }
}

TEST_F(Tokenctl, ShowsTheCallersGrantsAsATable) {
  tokend_.caller.set_caller("unix:checkout");
  tokend_.caller.set_authentication("unix");
  tokend_.caller.set_listener("pod");
  v1::Grant& grant = *tokend_.caller.add_grants();
  grant.set_name("mobile-ci");
  grant.add_organizations("acme");
  grant.add_applications("ios-app");
  grant.add_applications("android-*");
  grant.add_scopes("sdk");
  v1::Limit& minute = *grant.add_limits();
  minute.set_name("minute");
  minute.set_tokens(10);
  minute.mutable_window()->set_seconds(60);
  minute.set_burst(5);
  minute.mutable_retry_after()->set_nanos(500'000'000);
  v1::Limit& day = *grant.add_limits();
  day.set_name("day");
  day.set_tokens(200);
  day.mutable_window()->set_seconds(86400);
  day.set_burst(200);
  day.set_remaining(190);
  tokend_.caller.add_grants()->set_name("without-limits");

  const Ended text = Run({"whoami"});
  EXPECT_EQ(text.exit, 0) << text.err;
  EXPECT_EQ(
      text.out,
      "caller: unix:checkout\n"
      "authentication: unix\n"
      "listener: pod\n"
      "\n"
      "GRANT           ORGANIZATIONS  APPLICATIONS       SCOPES  LIMIT   TOKENS   BURST  REMAINING  RETRY "
      "AFTER\n"
      "mobile-ci       acme           ios-app,android-*  sdk     minute  10/1m    5      0          500ms\n"
      "                                                          day     200/24h  200    190        0\n"
      "without-limits\n");

  const Ended json = Run({"whoami", "--output=json"});
  EXPECT_EQ(json.exit, 0) << json.err;
  EXPECT_EQ(json.out,
            R"({"caller":"unix:checkout","authentication":"unix","listener":"pod","grants":[)"
            R"({"name":"mobile-ci","organizations":["acme"],"applications":["ios-app","android-*"],)"
            R"("scopes":["sdk"],"limits":[)"
            R"({"name":"minute","tokens":"10","window":"60s","burst":"5","retry_after":"0.500s"},)"
            R"({"name":"day","tokens":"200","window":"86400s","burst":"200","remaining":"190",)"
            R"("retry_after":"0s"}]},{"name":"without-limits"}]})"
            "\n");
}

TEST_F(Tokenctl, SaysThatACallerHasMoreGrantsThanAreShown) {
  tokend_.caller.add_grants()->set_name("mobile-ci");
  EXPECT_THAT(Run({"whoami"}).out, Not(HasSubstr("more")));
  tokend_.caller.set_more_grants(true);
  EXPECT_THAT(Run({"whoami"}).out, EndsWith("\nThe first 1 grants are shown. There are more.\n"));
  EXPECT_THAT(Run({"whoami", "--output=json"}).out, HasSubstr(R"("more_grants":true)"));
}

TEST_F(Tokenctl, ExitsByTheDaemonsHealth) {
  tokend_.SetServing(true);
  const Ended serving = Run({"health"});
  EXPECT_EQ(serving.exit, 0);
  EXPECT_EQ(serving.out, "status: SERVING\n");
  tokend_.SetServing(false);
  const Ended draining = Run({"health", "--output", "json"});
  EXPECT_EQ(draining.exit, 6);
  EXPECT_EQ(draining.out, "{\"status\":\"NOT_SERVING\"}\n");
  const Ended absent = Run({"health", "--address", "unix://" + (folder_ / "nobody.sock")});
  EXPECT_EQ(absent.exit, 6);
  EXPECT_EQ(absent.out, "");
  EXPECT_THAT(absent.err, StartsWith("tokenctl: UNAVAILABLE: "));
}

TEST_F(Tokenctl, RefusesABadCommandLineWithoutACall) {
  for (const auto& command : std::vector<std::vector<std::string>>{
           {},
           {"mint"},
           {"create"},
           {"create", "--app"},
           {"create", "--app", "a", "--frob"},
           {"create", "--app", "a", "--scope", "b", "c"},
           {"create", "--app", "a", "--output", "yaml"},
           {"create", "--app", "a", "--output", "bearer", "--dry-run"},
           {"create", "--app", "a", "--timeout", "soon"},
           {"create", "--app", "a", "--timeout", "0s"},
           {"create", "--app", "a", "--timeout", "inf"},
           {"create", "--app", "a", "--address", "nowhere"},
           {"create", "--app", "a", "--ca", "/nonexistent"},
           {"create", "--app", "a", "--address", "tokend.example:1", "--ca", "/nonexistent"},
           {"create", "--app", "a", "--address", "tokend.example:1", "--token-file", "/nonexistent"},
           {"whoami", "--output", "bearer"},
           {"health", "--output", "bearer"},
       }) {
    const Ended ended = Run(command);
    EXPECT_EQ(ended.exit, 2) << testing::PrintToString(command);
    EXPECT_EQ(ended.out, "") << testing::PrintToString(command);
    EXPECT_THAT(ended.err, StartsWith("tokenctl: ")) << testing::PrintToString(command);
  }
  EXPECT_THAT(tokend_.calls(), IsEmpty());
}

TEST_F(Tokenctl, SaysThatTheTokenExistsWhereItsOutputIsLost) {
  const Ended ended = Run({"create", "--app", "ios-app", "--request-id", kId}, "/dev/full");
  EXPECT_EQ(ended.exit, 1);
  EXPECT_THAT(ended.err,
              AllOf(HasSubstr("could not be written"), HasSubstr(kId), Not(HasSubstr("the-bearer"))));
}

TEST_F(Tokenctl, FailsWhereItsOutputIsClosed) {
  const Ended ended = RunProgram(
      {"/bin/sh", "-c", "exec \"$0\" create --app ios-app --address \"$1\" >&-", TOKENCTL, address_});
  EXPECT_EQ(ended.exit, 1);
  EXPECT_THAT(ended.err, HasSubstr("could not be written"));
  EXPECT_EQ(tokend_.calls().size(), 1U);
}

TEST_F(Tokenctl, TakesWhatWasNotGivenFromVariablesThatFitTheAddress) {
  environment_ = {"TOKEND_ADDRESS=tokend.example:1"};
  for (const std::string variable : {"TOKEND_CA", "TOKEND_CERT", "TOKEND_KEY", "TOKEND_TOKEN_FILE"}) {
    auto with = environment_;
    environment_.push_back(variable + "=/nonexistent");
    EXPECT_EQ(Run({"whoami", "--timeout", "100ms"}).exit, 2) << variable;
    // With a unix socket the variable has no meaning.
    EXPECT_EQ(Run({"whoami", "--address", address_}).exit, 0) << variable;
    environment_ = std::move(with);
  }
  environment_.push_back("TOKEND_TIMEOUT=soon");
  EXPECT_EQ(Run({"whoami"}).exit, 2);
  EXPECT_EQ(Run({"whoami", "--address", address_, "--timeout", "5s"}).exit, 0);
}

TEST_F(Tokenctl, AsksForTheHealthOnceUnlessATimeoutIsGiven) {
  environment_ = {"TOKEND_TIMEOUT=1m"};
  const std::string nobody = "unix://" + (folder_ / "nobody.sock");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Run({"health", "--address", nobody}).exit, 6);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
  const auto patient = std::chrono::steady_clock::now();
  EXPECT_EQ(Run({"health", "--address", nobody, "--timeout", "2s"}).exit, 6);
  EXPECT_GE(std::chrono::steady_clock::now() - patient, seconds(2));
}

TEST_F(Tokenctl, ListsTheSharedOptionsAndTheirVariablesInTheHelpOfEveryCommand) {
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"create"}, {"whoami"}, {"health"}, {"audit", "verify"}, {"policy", "explain"}, {"completion"}}) {
    auto arguments = command;
    arguments.push_back("--help");
    const Ended help = Run(arguments);
    EXPECT_EQ(help.exit, 0);
    for (const char* option : {"address", "ca", "cert", "key", "token-file", "timeout"}) {
      std::string variable = absl::StrReplaceAll(absl::AsciiStrToUpper(option), {{"-", "_"}});
      EXPECT_THAT(help.out, AllOf(HasSubstr(std::string("--") + option), HasSubstr("$TOKEND_" + variable)))
          << testing::PrintToString(command);
    }
  }
}

TEST_F(Tokenctl, AnswersAWrongWordWithTheNearestRightOne) {
  for (const auto& [command, answer] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"creat", "--app", "a"}, "creat is not a command of tokenctl; did you mean create?"},
           {{"create", "--ap", "a"}, "--ap is not an option of tokenctl create; did you mean --app?"},
           {{"whoami", "--tiemout=3s"},
            "--tiemout is not an option of tokenctl whoami; did you mean --timeout?"},
           {{"audit", "verfy", "f"}, "verfy is not a command of tokenctl audit; did you mean verify?"},
           {{"whoami", "--output", "jsn"}, "did you mean json?"},
           {{"completion", "bsh"}, "did you mean bash?"}}) {
    const Ended ended = Run(command);
    EXPECT_EQ(ended.exit, 2);
    EXPECT_THAT(ended.err, HasSubstr(answer));
  }
}

class Completion : public Tokenctl, public testing::WithParamInterface<std::string> {};

TEST_P(Completion, ScriptNamesEveryCommandAndOption) {
  const Ended script = Run({"completion", GetParam()});
  EXPECT_EQ(script.exit, 0) << script.err;
  for (const char* word : {"create", "whoami", "health", "completion", "'tokenctl audit verify'", "dry-run",
                           "token-file", "fingerprint-key"}) {
    EXPECT_THAT(script.out, HasSubstr(word));
  }
}

// Completes the last of these words in a real shell. Returns the candidates, one a line.
std::string Completed(const std::string& shell, const std::string& words) {
  // Bash and zsh complete inside an editor, so the script's function is called as the editor calls it. In zsh
  // the editor chooses by what stands already; here the test does.
  const std::map<std::string, std::string> scripts = {
      {"bash", R"sh(source <("$0" completion bash)
                    COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                    _tokenctl; printf '%s\n' "${COMPREPLY[@]}")sh"},
      {"zsh", R"sh(compdef() { : }; _files() { : }
                   compadd() { shift; print -l -- ${(M)@:#${words[CURRENT]}*} }
                   source =("$0" completion zsh)
                   words=(${=1}); CURRENT=$#words
                   _tokenctl)sh"},
      {"fish", R"sh($argv[1] completion fish | source; complete -C $argv[2] | cut -f 1)sh"},
  };
  const std::string program = "/usr/bin/" + shell;
  const fakes::TemporaryFolder home;
  const Ended ended = RunProgram({program, "-c", scripts.at(shell), TOKENCTL, words},
                                 {"PATH=/usr/bin:/bin", "HOME=" + (home / "")});
  EXPECT_EQ(ended.err, "");
  return ended.out;
}

TEST_P(Completion, CompletesCommandsAndOptionsInTheShell) {
  const auto complete = [](const std::string& words) { return Completed(GetParam(), words); };
  EXPECT_EQ(complete("tokenctl cr"), "create\n");
  EXPECT_EQ(complete("tokenctl --timeout 3s audit ver"), "verify\n");
  EXPECT_EQ(complete("tokenctl create --app x --dr"), "--dry-run\n");
  EXPECT_EQ(complete("tokenctl whoami --tim"), "--timeout\n");
  EXPECT_THAT(complete("tokenctl whoami --dr"), Not(HasSubstr("dry-run")));
}

INSTANTIATE_TEST_SUITE_P(For, Completion, testing::Values("bash", "zsh", "fish"),
                         [](const auto& shell) { return shell.param; });

TEST_F(Tokenctl, TellsItsVersionAndUsageOnStandardOutput) {
  EXPECT_EQ(Run({"--version"}).out, "tokenctl " TOKEND_VERSION "\n");
  const Ended help = Run({"create", "--help"});
  EXPECT_EQ(help.exit, 0);
  EXPECT_THAT(help.out, HasSubstr("--request-id"));
}

}  // namespace
}  // namespace tokend::client
