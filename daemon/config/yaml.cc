#include "daemon/config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

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

// yaml-cpp's tree keeps the first of two equal keys silently and expands aliases; its events do neither.
class YamlBuilder : public YAML::EventHandler {
 public:
  std::shared_ptr<const YamlDocument> Take() { return std::move(document_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(started_, true)) throw Stop{PositionOf(mark), "only one YAML document is accepted"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const YamlNode node(YamlNode::Kind::kNull, PositionOf(mark));
    Check(node, anchor, "");
    Place(node);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Stop{PositionOf(mark), "aliases are not accepted: write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node(YamlNode::Kind::kScalar, PositionOf(mark));
    Check(node, anchor, tag);
    node.quoted = tag == kQuoted;
    node.size_ = static_cast<std::uint32_t>(value.size());
    node.text_ = std::copy(value.begin(), value.end(), Allocate<char>(value.size())) - value.size();
    Place(node);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(YamlNode(YamlNode::Kind::kSequence, PositionOf(mark)), anchor, tag);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    YamlNode node(YamlNode::Kind::kMapping, PositionOf(mark));
    node.flow = style == YAML::EmitterStyle::Flow;
    Open(node, anchor, tag);
  }
  void OnMapEnd() override { Close(); }

 private:
  static constexpr std::string_view kPlain = "?";
  static constexpr std::string_view kQuoted = "!";

  struct Container {
    YamlNode node;
    std::vector<YamlNode> keys = {};
    std::vector<YamlNode> items = {};

    bool ExpectsKey() const { return node.kind == YamlNode::Kind::kMapping && keys.size() == items.size(); }
  };

  template <class T>
  T* Allocate(std::size_t count) {
    return std::pmr::polymorphic_allocator<T>(&document_->memory_).allocate(count);
  }

  void Check(const YamlNode& node, YAML::anchor_t anchor, std::string_view tag) const {
    if (anchor != 0)
      throw Stop{node.position, "anchors are not accepted: write the value out where it is needed"};
    if (!tag.empty() && tag != kPlain && tag != kQuoted) {
      throw Stop{node.position, "tags are not accepted: each key has its own type"};
    }
    const bool is_key = depth_ > 0 && open_[depth_ - 1].ExpectsKey();
    if (is_key && node.kind != YamlNode::Kind::kScalar) throw Stop{node.position, "a key must be a word"};
  }

  void Open(const YamlNode& node, YAML::anchor_t anchor, std::string_view tag) {
    Check(node, anchor, tag);
    if (depth_ == kMaxDepth) throw Stop{node.position, "is nested too deeply"};
    Container& container = open_[depth_++];
    container.node = node;
    container.keys.clear();
    container.items.clear();
  }

  void Close() {
    Container& container = open_[--depth_];
    auto* const nodes = Allocate<YamlNode>(container.keys.size() + container.items.size());
    std::uninitialized_copy(container.items.begin(), container.items.end(),
                            std::uninitialized_copy(container.keys.begin(), container.keys.end(), nodes));
    container.node.size_ = static_cast<std::uint32_t>(container.items.size());
    container.node.nodes_ = nodes;
    Place(container.node);
  }

  void Place(const YamlNode& node) {
    if (depth_ == 0) {
      document_->root_ = node;
      return;
    }
    Container& container = open_[depth_ - 1];
    (container.ExpectsKey() ? container.keys : container.items).push_back(node);
  }

  std::shared_ptr<YamlDocument> document_ = std::make_shared<YamlDocument>();
  std::array<Container, kMaxDepth> open_;  // the first `depth_` are open, each in the one before it
  std::size_t depth_ = 0;
  bool started_ = false;
};

std::shared_ptr<const YamlDocument> ParseYaml(std::string_view text, Report& report) {
  Position here;
  for (const char c : text) {
    if (IsForbidden(c)) {
      report.ErrorAt(here, "holds a control character, which YAML does not allow");
      return nullptr;
    }
    here = c == '\n' ? Position{here.line + 1, 1} : Position{here.line, here.column + 1};
  }
  if (!Utf16Length(text)) {
    report.ErrorAt({}, "is not UTF-8");
    return nullptr;
  }
  YamlBuilder builder;
  try {
    // yaml-cpp accepts a quote that never closes if the file ends with a newline. With a comment at the end
    // it reports the quote; a comment has no other effect.
    std::istringstream in(Concat({text, "\n#"}));
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    report.ErrorAt(stop.position, stop.why);
    return nullptr;
  } catch (const YAML::Exception& error) {
    const Position place = std::min(PositionOf(error.mark), here);
    const std::optional<Position> tab = TabIn(text, place.line);
    report.ErrorAt(tab.value_or(place), tab ? kTab : Explain(error.msg));
    return nullptr;
  }
  auto document = builder.Take();
  if (document->root().kind == YamlNode::Kind::kNull) {
    report.ErrorAt({}, "is empty");
    return nullptr;
  }
  return document;
}

}  // namespace tokend::config
