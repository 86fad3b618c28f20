#include "daemon/config/simple_yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <array>
#include <cstddef>
#include <random>
#include <sstream>
#include <string>
#include <string_view>

#include "tests/unit/config/fixture.h"

namespace tokend::config {
namespace {

constexpr std::string_view kSample = R"(a: 1
b:
- x
- y: 2
  z: [q, {k: "v", w: 'u'}]   # note
-  name: d
   list:
     - e
     -   f
# comment

c: {d: e, f: [g, h ], i: "j: k"}
l: unix:///run/t.sock
m: two words here # c
n:
  o:
    p: /a/b
  q: [ a b, c:d ,
     team-*/x ]
r: []
s: {}
)";

std::array<std::string, 2> Samples() {
  return {std::string(kSample), Folder::Replace(std::string(kMinimal), "$DIR", "/d")};
}

// Every event, as a text.
class EventLog : public YAML::EventHandler {
 public:
  std::string text() const { return out_.str(); }

  void OnDocumentStart(const YAML::Mark&) override { out_ << "document\n"; }
  void OnDocumentEnd() override { out_ << "end of document\n"; }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { Add("null", mark, "", 0); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override { Add("alias", mark, "", anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Add("scalar", mark, tag, anchor);
    out_ << "  <" << value << ">\n";
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    Add("list", mark, tag, anchor);
    out_ << "  " << style << "\n";
  }
  void OnSequenceEnd() override { out_ << "end of list\n"; }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    Add("mapping", mark, tag, anchor);
    out_ << "  " << style << "\n";
  }
  void OnMapEnd() override { out_ << "end of mapping\n"; }

 private:
  void Add(std::string_view event, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    out_ << event << " " << mark.line << ":" << mark.column << " " << tag << " " << anchor << "\n";
  }

  std::ostringstream out_;
};

std::string EventsOfYamlCpp(const std::string& text) {
  EventLog events;
  try {
    std::istringstream in(text + "\n#");
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(events)) {
    }
  } catch (const YAML::Exception& error) {
    return "error: " + error.msg;
  }
  return events.text();
}

// Nothing where the text is not simple.
std::string SimpleEvents(const std::string& text) {
  EventLog events;
  return ReadSimpleYaml(text, events) ? events.text() : "";
}

TEST(ReadSimpleYaml, ReadsWhatConfigurationsAreWrittenIn) {
  for (const std::string& text : Samples()) EXPECT_EQ(SimpleEvents(text), EventsOfYamlCpp(text));
}

TEST(ReadSimpleYaml, LeavesTheRestOfYamlToYamlCpp) {
  for (const std::string text : {"",
                                 "# c\n",
                                 "a",
                                 "[a]",
                                 "a:\n",
                                 "a: ~\n",
                                 "a: null\n",
                                 "a: NULL\n",
                                 "null: a\n",
                                 "~: a\n",
                                 "a: &x b\n",
                                 "a: *x\n",
                                 "a: !!str b\n",
                                 "a: |\n  b\n",
                                 "a: b\n  c\n",
                                 "a: \"b\\n\"\n",
                                 "a: \"b\n  c\"\n",
                                 "a: 'b''c'\n",
                                 "a: b: c\n",
                                 "? a\n: b\n",
                                 "a: [b\n",
                                 "a: [b, , c]\n",
                                 "a: [b: c]\n",
                                 "a: {b}\n",
                                 "a: {b: }\n",
                                 "a:\tb\n",
                                 "a: \xC3\xA9\n",
                                 "a: b\n---\nc: d\n",
                                 "---\na: b\n",
                                 "a: [b,\n...\n]\n",
                                 "a: b\n c: d\n",
                                 "a:\n  - b\n  c: d\n",
                                 " a: b\nc: d\n",
                                 "a: @b\n",
                                 "a: %b\n",
                                 "\"a\": b\n",
                                 "a: \"b\": c\n",
                                 "- a\n",
                                 "a: - b\n",
                                 "a: b #\n c\n"}) {
    EXPECT_EQ(SimpleEvents(text), "") << text;
  }
}

TEST(ReadSimpleYaml, MakesOfEveryTextThatItTakesWhatYamlCppMakesOfIt) {
  constexpr std::array<std::string_view, 46> kBits = {
      " ",  "\n", "-",  "- ", ":",    ": ",   "[",   "]",        "{",     "}",     ",", ", ",
      "#",  " #", "\"", "'",  "a",    "~",    "*",   "&",        "!",     "|",     ">", "?",
      "? ", "%",  "@",  "`",  "\\",   "\n  ", "/",   "...",      "=",     ".",     "1", "::",
      "+",  "  ", "<<", "\n", "null", "\n- ", "---", "key: v\n", "- a\n", "[a, b]"};
  const std::size_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const auto below = [&random](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
  const std::array<std::string, 2> samples = Samples();
  std::size_t taken = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = samples[below(samples.size())];
    for (std::size_t edits = 1 + below(3); edits > 0; --edits) {
      const std::size_t erased = below(3);
      text.replace(below(text.size() - erased), erased, kBits[below(kBits.size())]);
    }
    const std::string events = SimpleEvents(text);
    if (events.empty()) continue;
    ++taken;
    ASSERT_EQ(events, EventsOfYamlCpp(text)) << text;
  }
  EXPECT_GT(taken, 1000U);
}

}  // namespace
}  // namespace tokend::config
