#include "daemon/audit/events.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace tokend::audit {
namespace {

// event.category, event.type and event.outcome of the Elastic Common Schema, by event.
using Mapping = std::map<std::string, std::tuple<std::string, std::string, std::string>>;

std::string ReadSource(const std::string& path) {
  std::ifstream file(std::string(TOKEND_SOURCE) + "/" + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::smatch> Matches(const std::string& text, const char* expression) {
  const std::regex regex(expression);
  return {std::sregex_iterator(text.begin(), text.end(), regex), std::sregex_iterator()};
}

std::set<std::string> FirstGroups(const std::string& text, const char* expression) {
  std::set<std::string> groups;
  for (const std::smatch& match : Matches(text, expression)) groups.insert(match[1]);
  return groups;
}

std::set<std::string> Names() {
  std::set<std::string> names;
  for (const Event* event : kEvents) names.insert(event->name);
  return names;
}

std::set<std::string> NamesIn(const Mapping& mapping) {
  std::set<std::string> names;
  for (const auto& [name, mapped] : mapping) names.insert(name);
  return names;
}

Mapping MappingOfFluentBit() {
  const std::string text = ReadSource("deploy/fluent-bit/audit.lua");
  Mapping mapping;
  for (const std::smatch& row :
       Matches(text, R"re(\["([a-z.]+)"\] = \{"([a-z]+)", "([a-z]+)"(?:, "([a-z]+)")?\})re")) {
    mapping[row[1]] = {row[2], row[3], row[4]};
  }
  return mapping;
}

Mapping MappingOfVector() {
  const std::string text = ReadSource("deploy/vector/tokend.yaml");
  Mapping mapping;
  for (const std::smatch& branch : Matches(text, R"re(if (action == [^{]*)\{([^}]*)\})re")) {
    const std::string assignments = branch[2];
    const auto value = [&assignments](const std::string& variable, std::string otherwise) {
      std::smatch found;
      const std::regex regex(variable + R"re( = "([a-z]+)")re");
      return std::regex_search(assignments, found, regex) ? found[1].str() : otherwise;
    };
    for (const std::string& name : FirstGroups(branch[1], R"re("([a-z.]+)")re")) {
      mapping[name] = {value("category", "api"), value("kind", "info"), value("outcome", "")};
    }
  }
  return mapping;
}

// The page's last table. A row may name several events.
Mapping MappingOfThePage() {
  const std::string text = ReadSource("deploy/audit.md");
  const std::size_t table = text.find("| event | `event.category` |");
  EXPECT_NE(table, std::string::npos) << "the table has another head";
  if (table == std::string::npos) return {};
  const std::string rows = text.substr(table);
  Mapping mapping;
  for (const std::smatch& row :
       Matches(rows, R"re(\n\| ((?:`[a-z.]+`(?:, )?)+) \| ([a-z]+) \| ([a-z]+) \| ([a-z]*) ?\|)re")) {
    for (const std::string& name : FirstGroups(row[1], "`([a-z.]+)`"))
      mapping[name] = {row[2], row[3], row[4]};
  }
  return mapping;
}

TEST(Events, AreFoundByTheirNames) {
  EXPECT_EQ(Names().size(), kEvents.size());
  for (const Event* event : kEvents) EXPECT_EQ(FindEvent(event->name), event);
  EXPECT_EQ(FindEvent("token.lost"), nullptr);
  EXPECT_EQ(FindEvent(""), nullptr);
}

TEST(Events, AreThoseThatTheSchemaLists) {
  const std::string schema = ReadSource("proto/tokend/audit/v1/record.proto");
  const std::size_t begin = schema.find("// One of");
  const std::size_t end = schema.find("string event = 3;");
  ASSERT_LT(begin, end);
  EXPECT_EQ(FirstGroups(schema.substr(begin, end - begin), R"re(([a-z]+\.[a-z]+|checkpoint))re"), Names());
}

TEST(Events, AreThoseThatLogShippersMap) {
  EXPECT_EQ(NamesIn(MappingOfFluentBit()), Names());
  EXPECT_EQ(NamesIn(MappingOfVector()), Names());
  EXPECT_EQ(NamesIn(MappingOfThePage()), Names());
}

TEST(Events, AreMappedAlikeByFluentBitByVectorAndOnTheirPage) {
  EXPECT_EQ(MappingOfFluentBit(), MappingOfThePage());
  EXPECT_EQ(MappingOfVector(), MappingOfThePage());
}

TEST(Events, ThatEndAnIntentAreMappedByWhatBecameOfTheToken) {
  const Mapping mapping = MappingOfThePage();
  for (const Event* event : kEvents) {
    if (event->role != Event::Role::kEnd) continue;
    const std::string outcome = event->token == Event::Token::kNone      ? "failure"
                                : event->token == Event::Token::kUnknown ? "unknown"
                                                                         : "success";
    EXPECT_EQ(mapping.at(event->name), std::tuple("iam", "creation", outcome)) << event->name;
  }
}

}  // namespace
}  // namespace tokend::audit
