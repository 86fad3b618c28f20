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

}  // namespace
}  // namespace tokend
