#include "daemon/config/caller_template.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tokend::config {
namespace {

// "literal" and [claim, path] of each part.
std::string Shape(const std::string& text) {
  const Result<CallerTemplate> parts = ParseCallerTemplate(text);
  if (!parts.ok()) return "wrong";
  std::string shape;
  for (const CallerTemplatePart& part : *parts) {
    shape += part.literal;
    for (const std::string& key : part.claim) shape += "[" + key + "]";
  }
  return shape;
}

TEST(CallerTemplate, IsTextAndClaims) {
  EXPECT_EQ(Shape("{sub}"), "[sub]");
  EXPECT_EQ(Shape("ci:{sub}@{iss}"), "ci:[sub]@[iss]");
  EXPECT_EQ(Shape("{a.b}"), "[a.b]");
  EXPECT_EQ(Shape("{a/b}"), "[a/b]");
  EXPECT_EQ(Shape("{https://x.example/email}"), "[https://x.example/email]");
}

TEST(CallerTemplate, NamesAClaimWithinOthersByAJsonPointer) {
  EXPECT_EQ(Shape("{/kubernetes.io/serviceaccount/name}"), "[kubernetes.io][serviceaccount][name]");
  EXPECT_EQ(Shape("{/a~1b/c~0d}"), "[a/b][c~d]");
  EXPECT_EQ(Shape("{/sub}"), "[sub]");
}

TEST(CallerTemplate, IsNothingElse) {
  for (const char* text : {"",        "sub",    "{}",     "{",        "}",      "{sub",   "sub}",
                           "{{sub}}", "{sub}}", "{sub}{", "a}{sub}",  "{a{b}",  "{/}",    "{//a}",
                           "{/a/}",   "{/a~}",  "{/a~2}", "a b{sub}", "*{sub}", "{sub}*", "\xC3\xA4{sub}",
                           "{sub}\n"}) {
    EXPECT_EQ(Shape(text), "wrong") << text;
  }
}

}  // namespace
}  // namespace tokend::config
