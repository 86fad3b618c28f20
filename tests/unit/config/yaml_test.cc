#include "daemon/config/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/base/text.h"
#include "daemon/config/load.h"

namespace tokend::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<std::string> ErrorsOf(std::string_view text) {
  Report report("t");
  const auto document = ParseYaml(text, report);
  EXPECT_EQ(document != nullptr, report.Errors().empty()) << text;
  return report.Errors();
}

TEST(ParseYaml, KeepsRepeatedKeysOrderAndPlaces) {
  Report report("t");
  const auto document = ParseYaml("a: 1\nb: [x,\n  \"y\"]\na: ~\n", report);
  ASSERT_TRUE(document);
  ASSERT_EQ(document->root().keys().size(), 3U);
  EXPECT_EQ(document->root().keys()[0].text(), "a");
  EXPECT_EQ(document->root().items()[0].text(), "1");
  EXPECT_FALSE(document->root().items()[0].quoted);
  EXPECT_EQ(document->root().items()[1].items()[1].text(), "y");
  EXPECT_TRUE(document->root().items()[1].items()[1].quoted);
  EXPECT_EQ(document->root().items()[1].items()[1].position.line, 3);
  EXPECT_EQ(document->root().items()[1].items()[1].position.column, 3);
  EXPECT_EQ(document->root().keys()[2].text(), "a");
  EXPECT_EQ(document->root().keys()[2].position.line, 4);
  EXPECT_EQ(document->root().items()[2].kind, YamlNode::Kind::kNull);
}

TEST(ParseYaml, TakesAByteOrderMarkAndWindowsLineEnds) {
  Report report("t");
  const auto document = ParseYaml(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: 2\r\n",
      report);
  ASSERT_TRUE(document);
  ASSERT_EQ(document->root().keys().size(), 2U);
  EXPECT_EQ(document->root().keys()[0].text(), "a");
  EXPECT_EQ(document->root().items()[1].text(), "2");
}

TEST(ParseYaml, RefusesAnEmptyDocument) {
  for (const std::string_view text : {"", "\n", "# only a comment\n", "---\n", "~\n"}) {
    EXPECT_THAT(ErrorsOf(text), ElementsAre("t:1:1: error: is empty")) << text;
  }
}

TEST(ParseYaml, RefusesASecondDocument) {
  EXPECT_THAT(ErrorsOf("a: 1\n---\nb: 1\n"), ElementsAre("t:2:1: error: only one YAML document is accepted"));
}

TEST(ParseYaml, RefusesAnchorsAliasesAndTags) {
  EXPECT_THAT(ErrorsOf("a: &x 1\nb: *x\n"),
              ElementsAre("t:1:4: error: anchors are not accepted: write the value out where it is needed"));
  EXPECT_THAT(ErrorsOf("a: !!str 1\n"),
              ElementsAre("t:1:4: error: tags are not accepted: each key has its own type"));
  EXPECT_THAT(ErrorsOf("a: !other {b: 1}\n"),
              ElementsAre("t:1:4: error: tags are not accepted: each key has its own type"));
}

TEST(ParseYaml, RefusesKeysThatAreNoWords) {
  EXPECT_THAT(ErrorsOf("? [a]\n: 1\n"), ElementsAre("t:1:3: error: a key must be a word"));
  EXPECT_THAT(ErrorsOf("{a: 1}: 1\n"), ElementsAre("t:1:1: error: a key must be a word"));
  EXPECT_THAT(ErrorsOf("~: 1\n"), ElementsAre("t:1:1: error: a key must be a word"));
}

TEST(ParseYaml, RefusesDeepNestingHoweverDeep) {
  EXPECT_THAT(ErrorsOf(std::string(16, '[') + std::string(16, ']')), IsEmpty());
  EXPECT_THAT(ErrorsOf(std::string(17, '[') + std::string(17, ']')),
              ElementsAre("t:1:17: error: is nested too deeply"));
  EXPECT_EQ(ErrorsOf(std::string(100'000, '[')).size(), 1U);
  EXPECT_EQ(ErrorsOf(std::string(100'000, '{')).size(), 1U);
  EXPECT_EQ(ErrorsOf(std::string(100'000, '[') + std::string(100'000, ']')).size(), 1U);
}

TEST(ParseYaml, RefusesWhatIsNotUtf8Text) {
  EXPECT_THAT(ErrorsOf("a: \xFF\n"), ElementsAre("t:1:1: error: is not UTF-8"));
  EXPECT_THAT(ErrorsOf(std::string_view("a: 1\nb: \0\n", 10)),
              ElementsAre("t:2:4: error: holds a control character, which YAML does not allow"));
  // Some parsers take this one for the end of the file.
  EXPECT_THAT(ErrorsOf("a: 1\n\x04\nb: 2\n"),
              ElementsAre("t:2:1: error: holds a control character, which YAML does not allow"));
}

TEST(ParseYaml, RefusesWhatEndsALineOnlyForSomePrograms) {
  for (const std::string_view end : {"\r", "\u0085", "\u2028", "\u2029"}) {
    for (const std::string_view place : {"# ", "c: x", "d: \"x"}) {
      const std::string text = Concat({"a: 1\n", place, end, "b: 2\n"});
      EXPECT_THAT(ErrorsOf(text),
                  ElementsAre(AllOf(StartsWith(Concat({"t:2:", std::to_string(place.size() + 1)})),
                                    HasSubstr("ends a line only for some programs"))))
          << text;
    }
  }
  EXPECT_THAT(ErrorsOf("a: \"\\L\\P\\N\\r\"\r\n"), IsEmpty()) << "escapes end no line";
}

TEST(ParseYaml, RefusesManyTagDirectivesAtOnce) {
  std::string text = "a: 1\n";
  for (int i = 0; i < 200'000; ++i) text += Concat({"%TAG !", std::to_string(i), "! x\n"});
  EXPECT_THAT(ErrorsOf(text), ElementsAre("t:2:1: error: tags are not accepted: each key has its own type"));
  EXPECT_THAT(ErrorsOf("%TAG ! x\n"),
              ElementsAre("t:1:1: error: tags are not accepted: each key has its own type"));
}

TEST(ParseYaml, CountsColumnsInCharacters) {
  EXPECT_THAT(ErrorsOf("a: [\"\u00FC\u20AC\", *x]\n"), ElementsAre(StartsWith("t:1:11: error: ")));
  EXPECT_THAT(ErrorsOf("a: \u00FC\nb: \u00FC\u20AC\u0001\n"),
              ElementsAre(StartsWith("t:2:6: error: holds a control")));
}

TEST(ParseYaml, SaysInItsOwnWordsWhatIsNotYaml) {
  for (const std::string text : {"a: 1\n\tb: 2\n", "a:\n\tb: 2\n", "a:\n\t- b\n", "a:\n \tb: 2\n c: 3\n"}) {
    EXPECT_THAT(ErrorsOf(text), ElementsAre(StartsWith("t:2:"))) << text;
    EXPECT_THAT(ErrorsOf(text), ElementsAre(EndsWith("is not valid YAML: a tab indents; use spaces")))
        << text;
  }
  for (const std::string value : {"[*]", "[**]", "[*b]", "[x, */y]", "@b", "`b`", "%b"}) {
    EXPECT_THAT(
        ErrorsOf("a: " + value + "\n"),
        ElementsAre(EndsWith("is not valid YAML: a text that begins with *, &, %, @ or ` needs quotes")))
        << value;
  }
  EXPECT_THAT(ErrorsOf("a: [1, 2\n"),
              ElementsAre("t:2:1: error: is not valid YAML: expected \",\" or \"]\""));
  EXPECT_THAT(ErrorsOf("a: {b: 1\n"),
              ElementsAre("t:2:1: error: is not valid YAML: expected \",\" or \"}\""));
  EXPECT_THAT(ErrorsOf("a: \"x"), ElementsAre("t:1:6: error: is not valid YAML: a quoted text does not end"));
  EXPECT_THAT(ErrorsOf("a: 'x\n \n"),
              ElementsAre("t:3:1: error: is not valid YAML: a quoted text does not end"));
  EXPECT_THAT(
      ErrorsOf("a: b: c\n"),
      ElementsAre("t:1:5: error: is not valid YAML: no key may stand here; quote a text that holds \": \""));
  EXPECT_THAT(ErrorsOf("a: 1\nb\nc: 2\n"),
              ElementsAre("t:3:1: error: is not valid YAML: expected \": \" after a key"));
  EXPECT_THAT(
      ErrorsOf("a: \"\\qsecret\"\n"),
      ElementsAre(
          "t:1:5: error: is not valid YAML: an unknown escape; write a backslash twice, or the text in "
          "single quotes"));
  for (const std::string_view text : {"-\ta\n", "a: 1\nb:\n- \tc\n", "?\ta\n"}) {
    EXPECT_THAT(ErrorsOf(text), ElementsAre(EndsWith("is not valid YAML: a tab indents; use spaces")))
        << text;
  }
  for (const std::string_view value : {"[::1]", "{b: ::1}", "[b,,c]"}) {
    EXPECT_THAT(
        ErrorsOf(Concat({"a: ", value})),
        ElementsAre(EndsWith("is not valid YAML: expected a value; quote one that begins with \":\"")))
        << value;
  }
  EXPECT_THAT(ErrorsOf("a: [a:, b]\n"),
              ElementsAre("t:1:6: error: is not valid YAML: a text that ends with \":\" needs quotes here"));
  EXPECT_THAT(ErrorsOf("a: 1\n...\nb: 2\n"),
              ElementsAre("t:3:1: error: is not valid YAML: text stands outside of the document"));
  EXPECT_THAT(ErrorsOf("a: \uFFFE\n"),
              ElementsAre("t:1:4: error: holds a character that YAML does not allow"));
}

}  // namespace
}  // namespace tokend::config
