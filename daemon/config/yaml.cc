#include "daemon/config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <utility>

#include "daemon/base/form.h"
#include "daemon/base/text.h"

namespace tokend::config {
namespace {

// Thrown to end parsing: yaml-cpp offers no other way out of its events. Caught in this file.
struct Stop {
  Position position;
  const char* why;
};

Position PositionOf(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {mark.line + 1, mark.column + 1};
}

// yaml-cpp's tree keeps the first of two equal keys silently and expands aliases; its events do neither.
class TreeBuilder : public YAML::EventHandler {
 public:
  YamlNode Take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(started_, true)) throw Stop{PositionOf(mark), "only one YAML document is accepted"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Place({.kind = YamlNode::Kind::kNull, .position = PositionOf(mark)}, anchor, "");
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Stop{PositionOf(mark), "aliases are not accepted: write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Place({.kind = YamlNode::Kind::kScalar,
           .position = PositionOf(mark),
           .quoted = tag == kQuoted,
           .text = value},
          anchor, tag);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open({.kind = YamlNode::Kind::kSequence, .position = PositionOf(mark)}, anchor, tag);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    Open({.kind = YamlNode::Kind::kMapping,
          .position = PositionOf(mark),
          .flow = style == YAML::EmitterStyle::Flow},
         anchor, tag);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  static constexpr std::string_view kPlain = "?";
  static constexpr std::string_view kQuoted = "!";

  void Open(YamlNode node, YAML::anchor_t anchor, const std::string& tag) {
    const Position position = node.position;
    YamlNode* placed = Place(std::move(node), anchor, tag);
    if (open_.size() == kMaxDepth) throw Stop{position, "is nested too deeply"};
    open_.push_back(placed);
  }

  YamlNode* Place(YamlNode node, YAML::anchor_t anchor, std::string_view tag) {
    if (anchor != 0)
      throw Stop{node.position, "anchors are not accepted: write the value out where it is needed"};
    if (!tag.empty() && tag != kPlain && tag != kQuoted) {
      throw Stop{node.position, "tags are not accepted: each key has its own type"};
    }
    if (open_.empty()) return &(root_ = std::move(node));
    YamlNode& container = *open_.back();
    const bool is_key =
        container.kind == YamlNode::Kind::kMapping && container.keys.size() == container.items.size();
    if (is_key && node.kind != YamlNode::Kind::kScalar) throw Stop{node.position, "a key must be a word"};
    return &(is_key ? container.keys : container.items).emplace_back(std::move(node));
  }

  YamlNode root_;
  std::vector<YamlNode*> open_;  // only the innermost grows, so these stay good
  bool started_ = false;
};

constexpr std::string_view kTab = "is not valid YAML: a tab indents; use spaces";
constexpr std::string_view kNeedsQuotes =
    "is not valid YAML: a text that begins with *, &, %, @ or ` needs quotes";

// yaml-cpp's messages may quote the document, so they are not passed on: known ones are put into our words.
std::string_view Explain(const std::string& message) {
  struct Explanation {
    std::string_view message;
    std::string_view words;
  };
  static const std::array<Explanation, 12> kExplanations = {{
      {YAML::ErrorMsg::TAB_IN_INDENTATION, kTab},
      {YAML::ErrorMsg::ALIAS_NOT_FOUND, kNeedsQuotes},
      {YAML::ErrorMsg::CHAR_IN_ALIAS, kNeedsQuotes},
      {YAML::ErrorMsg::UNKNOWN_TOKEN, kNeedsQuotes},
      {YAML::ErrorMsg::END_OF_MAP,
       "is not valid YAML: expected the mapping's next key, indented as its first"},
      {YAML::ErrorMsg::END_OF_SEQ,
       "is not valid YAML: expected the list's next \"- \", indented as its first"},
      {YAML::ErrorMsg::END_OF_MAP_FLOW, "is not valid YAML: expected \",\" or \"}\""},
      {YAML::ErrorMsg::END_OF_SEQ_FLOW, "is not valid YAML: expected \",\" or \"]\""},
      {YAML::ErrorMsg::EOF_IN_SCALAR, "is not valid YAML: a quoted text does not end"},
      {YAML::ErrorMsg::MAP_VALUE, "is not valid YAML: no key may stand here; quote a text that holds \": \""},
      {YAML::ErrorMsg::MAP_KEY, "is not valid YAML: no key may stand here"},
      {YAML::ErrorMsg::BLOCK_ENTRY, "is not valid YAML: no list item may stand here"},
  }};
  for (const auto& [known, words] : kExplanations) {
    if (message == known) return words;
  }
  if (message.starts_with(YAML::ErrorMsg::UNKNOWN_ANCHOR)) return kNeedsQuotes;
  return "is not valid YAML";
}

// The position of a tab in a line's indentation; for yaml-cpp the indentation mostly ends there.
std::optional<Position> TabIn(std::string_view text, int line) {
  for (int i = 1; i < line; ++i) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  const std::size_t indentation = std::min(text.find_first_not_of(" \t"), text.size());
  const std::size_t tab = text.substr(0, indentation).find('\t');
  if (tab == std::string_view::npos) return std::nullopt;
  return Position{line, static_cast<int>(tab) + 1};
}

// YAML forbids these characters, and yaml-cpp ends the file at 0x04.
bool IsForbidden(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7F;
}

}  // namespace

std::optional<YamlNode> ParseYaml(std::string_view text, Report& report) {
  Position here;
  for (const char c : text) {
    if (IsForbidden(c)) {
      report.ErrorAt(here, "holds a control character, which YAML does not allow");
      return std::nullopt;
    }
    here = c == '\n' ? Position{here.line + 1, 1} : Position{here.line, here.column + 1};
  }
  if (!Utf16Length(text)) {
    report.ErrorAt({}, "is not UTF-8");
    return std::nullopt;
  }
  TreeBuilder builder;
  try {
    // yaml-cpp accepts a quote that never closes if the file ends with a newline. With a comment at the end
    // it reports the quote; a comment has no other effect.
    std::istringstream in(Concat({text, "\n#"}));
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    report.ErrorAt(stop.position, stop.why);
    return std::nullopt;
  } catch (const YAML::Exception& error) {
    const Position place = std::min(PositionOf(error.mark), here);
    const std::optional<Position> tab = TabIn(text, place.line);
    report.ErrorAt(tab.value_or(place), tab ? kTab : Explain(error.msg));
    return std::nullopt;
  }
  YamlNode document = builder.Take();
  if (document.kind == YamlNode::Kind::kNull) {
    report.ErrorAt({}, "is empty");
    return std::nullopt;
  }
  return document;
}

}  // namespace tokend::config
