#include "daemon/telemetry/status_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace tokend::telemetry {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const std::set<std::string> kVoidElements = {"meta", "link", "br", "hr", "img", "input"};

std::string Html() { return std::string(page::html); }

// The page without the texts of <style> and <script>.
std::string Markup() {
  std::string html = Html();
  for (const std::string_view text : {page::style, page::script}) {
    const std::size_t at = html.find(text);
    EXPECT_NE(at, std::string::npos);
    html.erase(at, text.size());
  }
  return html;
}

std::vector<std::string> AllMatches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match) {
    found.push_back((*match)[1]);
  }
  return found;
}

TEST(StatusPage, ClosesEveryElementThatItOpens) {
  EXPECT_THAT(Html(), StartsWith("<!doctype html>\n"));
  std::vector<std::string> open;
  for (const std::string& tag : AllMatches(Markup(), "<(/?[a-z0-9]+)")) {
    if (tag[0] != '/') {
      if (!kVoidElements.contains(tag)) open.push_back(tag);
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag;
    EXPECT_EQ("/" + open.back(), tag);
    open.pop_back();
  }
  EXPECT_THAT(open, IsEmpty());
}

TEST(StatusPage, HasEachIdOnceAndTheScriptAsksForNoOther) {
  const std::vector<std::string> ids = AllMatches(Markup(), "\\bid=\"([a-z-]+)\"");
  const std::set<std::string> known(ids.begin(), ids.end());
  EXPECT_EQ(known.size(), ids.size());
  const std::vector<std::string> asked = AllMatches(std::string(page::script), "byId\\('([a-z-]+)'\\)");
  EXPECT_THAT(asked, Not(IsEmpty()));
  for (const std::string& id : asked) {
    EXPECT_TRUE(known.contains(id)) << id;
  }
}

TEST(StatusPage, NeedsNothingFromElsewhere) {
  EXPECT_THAT(AllMatches(Markup(), "(src=|srcset=|<iframe|<object|<form|<img)"), IsEmpty());
  for (const std::string& target : AllMatches(Markup(), "href=\"([^\"]*)\"")) {
    EXPECT_THAT(target, testing::AnyOf("data:,", StartsWith("/"))) << target;
    EXPECT_THAT(target, Not(StartsWith("//")));
  }
  EXPECT_THAT(std::string(page::style), Not(testing::AnyOf(HasSubstr("url("), HasSubstr("@import"))));
  // The only URL is the name space of SVG, which a browser does not fetch.
  EXPECT_EQ(AllMatches(Html(), "(https?:)").size(), 1U);
  EXPECT_THAT(AllMatches(std::string(page::script), "fetch\\('([^']*)'"),
              testing::ElementsAre("/status.json"));
}

TEST(StatusPage, PutsTextsIntoThePageAsTextAlone) {
  const std::string script(page::script);
  EXPECT_THAT(AllMatches(script, "(outerHTML|insertAdjacentHTML|document\\.write|\\beval\\b|new Function)"),
              IsEmpty());
  EXPECT_THAT(AllMatches(script, "(innerHTML *[+]?=[^=])"), IsEmpty());
}

// The Content-Security-Policy permits one script and one style, and nothing within the markup.
TEST(StatusPage, HasOneScriptAndOneStyleAndNoneInAttributes) {
  EXPECT_EQ(AllMatches(Markup(), "(<script)").size(), 1U);
  EXPECT_EQ(AllMatches(Markup(), "(<style)").size(), 1U);
  EXPECT_THAT(AllMatches(Markup(), "\\b(style=|on[a-z]+=)"), IsEmpty());
  EXPECT_THAT(Html(), HasSubstr("<script>" + std::string(page::script) + "</script>"));
  EXPECT_THAT(Html(), HasSubstr("<style>" + std::string(page::style) + "</style>"));
}

}  // namespace
}  // namespace tokend::telemetry
