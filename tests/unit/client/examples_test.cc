#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/unit/client/fake_tokend.h"
#include "tests/unit/client/process.h"

namespace tokend::client {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

using Code = grpc::StatusCode;

struct Example {
  std::string name;
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::vector<std::string>
      readiness;  // a program that ends with 0 where the example's packages are installed
};

void PrintTo(const Example& example, std::ostream* out) { *out << example.name; }

class Examples : public testing::TestWithParam<Example> {
 protected:
  void SetUp() override {
    if (RunProgram(GetParam().readiness).exit != 0) GTEST_SKIP() << "its packages are not installed";
  }

  Ended Run(const std::string& address, const std::vector<std::string>& flags = {}) {
    std::vector<std::string> command = GetParam().command;
    command.insert(command.end(), flags.begin(), flags.end());
    command.insert(command.end(), {address, "ios-app"});
    return RunProgram(std::move(command), GetParam().environment);
  }

  fakes::TemporaryFolder folder_;
  std::string address_ = "unix://" + (folder_ / "tokend.sock");
  FakeTokend tokend_{"unix:" + (folder_ / "tokend.sock")};
};

TEST_P(Examples, PrintTheIdAndTheBearerOnlyWhenAsked) {
  const Ended id = Run(address_);
  EXPECT_EQ(id.exit, 0) << id.err;
  EXPECT_EQ(id.out, std::string(24, 'c') + "\n");
  const Ended bearer = Run(address_, {"--bearer"});
  EXPECT_EQ(bearer.exit, 0) << bearer.err;
  EXPECT_EQ(bearer.out, "the-bearer\n");
}

TEST_P(Examples, ReachALoopbackPort) {
  const FakeTokend tokend("127.0.0.1:0");
  EXPECT_EQ(Run("127.0.0.1:" + std::to_string(tokend.port())).exit, 0);
  EXPECT_EQ(tokend.calls().size(), 1U);
}

TEST_P(Examples, RepeatTheRequestIdWhereTheDaemonSaysLater) {
  tokend_.Script({{Code::UNAVAILABLE, "OVERLOADED", milliseconds(1)},
                  {Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", milliseconds(1)},
                  {Code::UNAVAILABLE}});
  const Ended ended = Run(address_);
  EXPECT_EQ(ended.exit, 0) << ended.err;
  const auto calls = tokend_.calls();
  ASSERT_EQ(calls.size(), 4U);
  for (const auto& call : calls) EXPECT_EQ(call.request.request_id(), calls[0].request.request_id());
}

TEST_P(Examples, WaitForADaemonThatStartsLate) {
  auto ended = std::async(std::launch::async, [&] { return Run("unix://" + (folder_ / "late.sock")); });
  // Long enough for every attempt of a client that does not wait. A client that begins later passes as well.
  std::this_thread::sleep_for(std::chrono::seconds(4));
  const FakeTokend late("unix:" + (folder_ / "late.sock"));
  EXPECT_EQ(ended.get().exit, 0);
  EXPECT_EQ(late.calls().size(), 1U);
}

TEST_P(Examples, TryNothingElseAgainAndTellTheReason) {
  for (const Failing& failing : {
           Failing{Code::PERMISSION_DENIED, "NOT_PERMITTED"},
           Failing{.code = Code::UNKNOWN, .reason = "OUTCOME_UNKNOWN", .pushback = true},
           Failing{Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", std::chrono::hours(1)},
       }) {
    const std::size_t before = tokend_.calls().size();
    tokend_.Script({failing});
    const Ended ended = Run(address_);
    EXPECT_EQ(ended.exit, 1);
    EXPECT_EQ(ended.out, "");
    EXPECT_EQ(tokend_.calls().size(), before + 1);
    EXPECT_THAT(ended.err, AllOf(HasSubstr("(" + failing.reason + ")"),
                                 HasSubstr(tokend_.calls().back().request.request_id())));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Of, Examples,
    testing::Values(Example{.name = "Python",
                            .command = {"/usr/bin/python3", EXAMPLES "/python/mint.py"},
                            .environment = {"PYTHONPATH=" PYTHON_GENERATED, "PYTHONDONTWRITEBYTECODE=1"},
                            .readiness = {"/usr/bin/python3", "-c", "import grpc"}},
                    Example{.name = "Node",
                            .command = {"/usr/bin/node", EXAMPLES "/node/mint.mjs"},
                            .environment = {},
                            .readiness = {"/usr/bin/test", "-d", EXAMPLES "/node/node_modules"}}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace tokend::client
