#include "tests/fakes/applivery_api.h"

#include <gmock/gmock.h>

namespace tokend::fakes {
namespace {

using testing::ElementsAre;
using testing::Optional;

TEST(TokensRoute, TakesNamesAsThePageHasThem) {
  const auto route = ParseTokensRoute("/v1/organizations/acme/apps/0123456789abcdefABCDEF01/tokens");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->organization, "acme");
  EXPECT_EQ(route->application, "0123456789abcdefABCDEF01");

  EXPECT_FALSE(ParseTokensRoute("/v1/organizations/ac/apps/ios-app/tokens"));
  EXPECT_FALSE(ParseTokensRoute("/v1/organizations/acme/apps/ios_app/tokens"));
  EXPECT_FALSE(ParseTokensRoute("/v1/organizations/acme/apps/ios%2Dapp/tokens"));
  EXPECT_FALSE(ParseTokensRoute("/v1/organizations/acme/apps/ios-app/tokens/"));
  EXPECT_FALSE(ParseTokensRoute("/v1/organizations/acme/apps/ios-app/tokens?x=1"));
  EXPECT_FALSE(ParseTokensRoute("/v1/organizations/acme/apps/ios-app"));
  EXPECT_FALSE(ParseTokensRoute("/v1/organizations//apps/ios-app/tokens"));
  EXPECT_FALSE(ParseTokensRoute("/"));
  EXPECT_FALSE(ParseTokensRoute(""));
}

TEST(TokenFields, AreBothOptional) {
  TokenFieldsParser parser;
  const auto none = parser.Parse("{}");
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->description);
  EXPECT_FALSE(none->scopes);

  const auto both = parser.Parse(R"({"scopes":["sdk","x"],"description":"a\u00e9\n"})");
  ASSERT_TRUE(both);
  EXPECT_THAT(both->description, Optional(std::string("aé\n")));
  EXPECT_THAT(both->scopes, Optional(ElementsAre("sdk", "x")));
}

TEST(TokenFields, AreNothingElse) {
  TokenFieldsParser parser;
  for (const char* json :
       {"", "null", "[]", "\"x\"", "{", "{}}", "{'description':'x'}", R"({"description":1})",
        R"({"description":null})", R"({"scopes":"sdk"})", R"({"scopes":[1]})", R"({"scopes":{}})",
        R"({"scopes":["sdk"],})", R"({"description":"a","description":"b"})", R"({"scopes":[],"scopes":[]})",
        R"({"name":"x"})", "{\"description\":\"\xff\"}", "{\"description\":\"a\nb\"}"}) {
    EXPECT_FALSE(parser.Parse(json)) << json;
  }
}

TEST(TokenFields, CountTheDescriptionInUtf16) {
  TokenFieldsParser parser;
  const auto with = [&](const std::string& description) {
    return parser.Parse("{\"description\":\"" + description + "\"}").has_value();
  };
  EXPECT_TRUE(with(std::string(1000, 'x')));
  EXPECT_FALSE(with(std::string(1001, 'x')));
  std::string pairs;
  for (int i = 0; i < 500; ++i) pairs += "\xF0\x9F\x98\x80";
  EXPECT_TRUE(with(pairs));
  EXPECT_FALSE(with(pairs + "x"));
}

TEST(Json, IsEscaped) {
  EXPECT_EQ(JsonEscaped("a\"b\\c\n\x01é"), "a\\\"b\\\\c\\u000a\\u0001é");
  EXPECT_EQ(JsonArray({}), "[]");
  EXPECT_EQ(JsonArray({"sdk", "\""}), R"(["sdk","\""])");
}

}  // namespace
}  // namespace tokend::fakes
