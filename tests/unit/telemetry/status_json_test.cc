#include "daemon/telemetry/status_json.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "daemon/telemetry/status_page.h"

namespace tokend::telemetry {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 11 / 30) + 12h;
const std::string kHostile = "<script>alert(1)</script>\"'&\n\xff";

// A report in which every field has a value, and every text is `text`.
StatusReport Full(const std::string& text = "x") {
  StatusReport report{.time = kNow, .started = kNow - 1h, .up = 1h, .ready = true};
  report.parts = {{text, false, false, text}};
  report.troubles = {text};
  report.calls_in_flight = 1;
  report.system = {.configuration = {text, kNow, false, 2, text},
                   .organizations = {{"acme", 3, {{text, 100, 1h, 20, 7}}}},
                   .limits_read = kNow,
                   .centre = text,
                   .listeners = {{text, {text}, 4, kNow + 24h, 60s}}};
  RecentActivity recent(kNow);
  recent.CallEnded({.listener = text, .caller = text, .duration = 10ms}, kNow);
  recent.CallEnded({.end = CallEnd::kRefused,
                    .listener = text,
                    .caller = text,
                    .peer = text,
                    .reason = text,
                    .detail = text},
                   kNow);
  recent.TokenUnaccounted({TokenOutcome::kWithheld, text, text, text, text}, kNow);
  recent.BlockChanged("acme", Block::kKeyRejected, true, text, kNow);
  recent.BlockChanged(text, Block::kBreakerOpen, true, text, kNow);
  recent.CentreReached(false, text, kNow);
  report.recent = recent.Get(kNow);
  return report;
}

google::protobuf::Value Parse(const std::string& json) {
  google::protobuf::Value value;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &value).ok()) << json;
  return value;
}

// Adds the path of each key, such as "a", "a.b" or "a[].b". Of an array only the first element counts.
void AddKeys(const google::protobuf::Value& value, const std::string& at, std::set<std::string>& keys) {
  if (value.has_list_value()) {
    if (value.list_value().values_size() > 0) AddKeys(value.list_value().values(0), at + "[]", keys);
    return;
  }
  if (!value.has_struct_value()) return;
  for (const auto& [key, member] : value.struct_value().fields()) {
    const std::string path = at.empty() ? key : at + "." + key;
    keys.insert(path);
    AddKeys(member, path, keys);
  }
}

std::set<std::string> KeysOf(const StatusReport& report) {
  std::set<std::string> keys;
  AddKeys(Parse(ToJson(report)), "", keys);
  return keys;
}

std::set<std::string> FirstGroups(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match) {
    found.insert((*match)[1]);
  }
  return found;
}

TEST(StatusJson, HasTheKeysThatItsPageDocuments) {
  std::ifstream file(TOKEND_SOURCE "/deploy/README.md");
  const std::string page(std::istreambuf_iterator<char>(file), {});
  const std::size_t begin = page.find("### The status page\n");
  ASSERT_NE(begin, std::string::npos);
  const std::string section = page.substr(begin, page.find("\n### ", begin) - begin);
  EXPECT_EQ(KeysOf(Full()), FirstGroups(section, "\\| `([a-z0-9_.\\[\\]]+)` \\|"));
}

// Keys have an underscore, and names of the script have none.
TEST(StatusJson, HasTheKeysThatTheStatusPageReads) {
  std::set<std::string> last;
  for (const std::string& key : KeysOf(Full())) last.insert(key.substr(key.rfind('.') + 1));
  last.insert({"breaker_open", "key_rejected", "application_breaker_open"});  // values of a block
  const auto read = FirstGroups(std::string(page::script), "\\b([a-z0-9]+(?:_[a-z0-9]+)+)\\b");
  EXPECT_FALSE(read.empty());
  for (const std::string& key : read) {
    EXPECT_TRUE(last.contains(key)) << key;
  }
}

TEST(StatusJson, EscapesTextsAndIsOneLine) {
  const std::string json = ToJson(Full(kHostile));
  EXPECT_EQ(json.find('\n'), json.size() - 1);
  const auto value = Parse(json);
  const auto& trouble = value.struct_value().fields().at("troubles").list_value().values(0).string_value();
  EXPECT_EQ(trouble, "<script>alert(1)</script>\"'&\n\uFFFD");
}

TEST(StatusJson, WritesTimesInUtcAndUnitsInNames) {
  EXPECT_THAT(ToJson(Full()),
              HasSubstr(R"("time":"2026-11-30T12:00:00Z","start_time":"2026-11-30T11:00:00Z",)"
                        R"("up_seconds":3600)"));
  EXPECT_THAT(ToJson(Full()),
              HasSubstr(R"({"name":"x","tokens":100,"per_seconds":3600,"burst":20,"remaining":7})"));
}

TEST(StatusJson, SaysNullOfWhatIsNotKnown) {
  const std::string json = ToJson({.time = kNow,
                                   .system = {.organizations = {{"acme", 0, {{"hour", 9, 1h, 9}}}},
                                              .listeners = {{"pod", {"unix:///s"}, 0}}}});
  EXPECT_THAT(json, HasSubstr(R"("key_generation":null)"));
  EXPECT_THAT(json, HasSubstr(R"("remaining":null)"));
  EXPECT_THAT(json, HasSubstr(R"("limits_time":null,"centre":null)"));
  EXPECT_THAT(json, HasSubstr(R"("certificate_end_time":null,"keys_age_seconds":null)"));
}

TEST(StatusJson, ListsOneHundredOrganizationsAndTheBlockedOnesFirst) {
  StatusReport report{.time = kNow};
  for (int i = 0; i < 150; ++i) report.system.organizations.push_back({"acme" + std::to_string(i), 1});
  RecentActivity recent(kNow);
  recent.BlockChanged("acme149", Block::kPaused, true, "", kNow);
  report.recent = recent.Get(kNow);
  const std::string json = ToJson(report);
  EXPECT_THAT(json, HasSubstr(R"("organization_count":150,"organizations":[{"name":"acme149")"));
  EXPECT_THAT(json, HasSubstr(R"("name":"acme98")"));
  EXPECT_THAT(json, Not(HasSubstr(R"("name":"acme99")")));
}

}  // namespace
}  // namespace tokend::telemetry
