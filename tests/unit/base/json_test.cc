#include "daemon/base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace tokend {
namespace {

TEST(Json, EscapesWhatItMustAndNothingElse) {
  std::string out;
  AppendJson(std::string("\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9\xf0\x9f\x98\x80\0", 18), out);
  EXPECT_EQ(out,
            "\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\\u0001\\u001f\\u007f"
            "\xc3\xa9\xf0\x9f\x98\x80\\u0000\"");
}

TEST(Json, KeepsPlainTextBetweenEscapes) {
  std::string out;
  AppendJson("plain \"quoted\" \xc3\xa9 end", out);
  EXPECT_EQ(out, "\"plain \\\"quoted\\\" \xc3\xa9 end\"");
}

TEST(Json, LeavesOutANestedValueThatStaysEmpty) {
  std::string out;
  JsonObject object(out);
  object.Nested("none", [](JsonObject& none) { none.Text("a", ""); });
  object.Nested("outer", [](JsonObject& outer) {
    outer.Nested<JsonArray>("list", [](JsonArray& list) { list.Element(std::string_view("{")); });
    outer.Nested<JsonArray>("empty", [](JsonArray&) {});
    outer.Number("n", 1);
  });
  object.Nested("last", [](JsonObject&) {});
  object.Text("b", "{");
  object.End();
  EXPECT_EQ(out, R"({"outer":{"list":["{"],"n":1},"b":"{"})");
}

}  // namespace
}  // namespace tokend
