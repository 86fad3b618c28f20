#include <gmock/gmock.h>

#include <sstream>

#include "tests/fakes/fake_applivery.h"

namespace tokend::fakes {
namespace {

TEST(Fault, EveryListedKindParses) {
  std::istringstream kinds(FaultKinds());
  int count = 0;
  for (std::string kind; std::getline(kinds, kind); ++count) {
    const std::size_t colon = kind.find(':');
    EXPECT_TRUE(Fault::Parse(colon == std::string::npos ? kind : kind.substr(0, colon) + ":500")) << kind;
  }
  EXPECT_GT(count, 15);
}

TEST(Fault, NothingElseParses) {
  for (const char* text : {"", "drops", "drop:1", "status", "status:", "status:99", "status:600",
                           "status:abc", "status:200x", "delay:-1", "rst-stream", ":", "delay:99999999999"}) {
    EXPECT_FALSE(Fault::Parse(text)) << text;
  }
}

TEST(Fault, MeansWhatItSays) {
  EXPECT_EQ(Fault::Parse("status:403")->answer->status, 403);
  EXPECT_EQ(Fault::Parse("delay:250")->delay, std::chrono::milliseconds(250));
  EXPECT_EQ(Fault::Parse("rst-stream:7")->http2_error, 7U);
  EXPECT_EQ(Fault::Parse("rst-stream:7")->action, Action::kStreamReset);
  EXPECT_TRUE(Fault::Parse("early:401")->early);
  EXPECT_EQ(Fault::Parse("body:{\"a\":1}")->answer->body, "{\"a\":1}");
  EXPECT_EQ(Fault::Parse("black-hole")->action, Action::kBlackHole);
  EXPECT_THROW(Fault::SuccessReplacing("no such text", ""), std::invalid_argument);
}

TEST(ObjectIdOf, IsStableAndKeepsIds) {
  EXPECT_EQ(ObjectIdOf("0123456789abcdefABCDEF01"), "0123456789abcdefABCDEF01");
  EXPECT_EQ(ObjectIdOf("acme"), ObjectIdOf("acme"));
  EXPECT_NE(ObjectIdOf("acme"), ObjectIdOf("acmf"));
  EXPECT_THAT(ObjectIdOf("acme"), testing::MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(ObjectIdOf("acme").size(), 24U);
}

}  // namespace
}  // namespace tokend::fakes
