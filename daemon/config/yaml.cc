#include "daemon/config/yaml.h"

#include <yaml.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/form.h"

namespace tokend::config {
namespace {

// Why a document is refused, and where.
struct Refusal {
  Position position;
  std::string_view why;
};
using Verdict = std::optional<Refusal>;

constexpr std::string_view kTab = "is not valid YAML: a tab indents; use spaces";
constexpr std::string_view kNeedsQuotes =
    "is not valid YAML: a text that begins with *, &, %, @ or ` needs quotes";
constexpr std::string_view kNoEnd = "is not valid YAML: a quoted text does not end";
constexpr std::string_view kNoTags = "tags are not accepted: each key has its own type";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// libyaml's words, in ours.
std::string_view Explain(std::string_view problem) {
  struct Explanation {
    std::string_view problem;
    std::string_view words;
  };
  static constexpr std::array<Explanation, 18> kExplanations = {{
      {"found a tab character that violates indentation", kTab},
      {"found a tab character where an indentation space is expected", kTab},
      {"did not find expected alphabetic or numeric character", kNeedsQuotes},
      {"found character that cannot start any token", kNeedsQuotes},
      {"did not find expected key",
       "is not valid YAML: expected the mapping's next key, indented as its first"},
      {"did not find expected '-' indicator",
       "is not valid YAML: expected the list's next \"- \", indented as its first"},
      {"did not find expected ',' or '}'", "is not valid YAML: expected \",\" or \"}\""},
      {"did not find expected ',' or ']'", "is not valid YAML: expected \",\" or \"]\""},
      {"found unexpected end of stream", kNoEnd},
      {"found unexpected document indicator", kNoEnd},
      {"could not find expected ':'", "is not valid YAML: expected \": \" after a key"},
      {"found unexpected ':'", "is not valid YAML: a text that ends with \":\" needs quotes here"},
      {"found unknown escape character",
       "is not valid YAML: an unknown escape; write a backslash twice, or the text in single quotes"},
      {"did not find expected node content",
       "is not valid YAML: expected a value; quote one that begins with \":\""},
      {"did not find expected <document start>", "is not valid YAML: text stands outside of the document"},
      {"mapping values are not allowed in this context",
       "is not valid YAML: no key may stand here; quote a text that holds \": \""},
      {"mapping keys are not allowed in this context", "is not valid YAML: no key may stand here"},
      {"block sequence entries are not allowed in this context",
       "is not valid YAML: no list item may stand here"},
  }};
  for (const auto& [known, words] : kExplanations) {
    if (problem == known) return words;
  }
  return "is not valid YAML";
}

Position PositionOf(const yaml_mark_t& mark) {
  return {static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1};
}

// The place of the byte at `offset` of a UTF-8 text.
Position PlaceIn(std::string_view text, std::size_t offset) {
  std::string_view before = text.substr(0, offset);
  if (before.starts_with(kByteOrderMark)) before.remove_prefix(kByteOrderMark.size());
  const std::string_view line = before.substr(before.rfind('\n') + 1);  // npos + 1 is 0
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  return {static_cast<int>(std::ranges::count(before, '\n')) + 1,
          static_cast<int>(line.size()) - static_cast<int>(std::ranges::count_if(line, continues)) + 1};
}

// The position of a tab in a line's indentation. libyaml mostly reports what the rest of the line is then.
std::optional<Position> TabIn(std::string_view text, int line) {
  for (int i = 1; i < line; ++i) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  const std::size_t indentation = std::min(text.find_first_not_of(" \t"), text.size());
  const std::size_t tab = text.substr(0, indentation).find('\t');
  if (tab == std::string_view::npos) return std::nullopt;
  return Position{line, static_cast<int>(tab) + 1};
}

std::string_view TextOf(const yaml_char_t* text, std::size_t size) {
  return {reinterpret_cast<const char*>(text), size};
}

// What libyaml accepts and this reader does not, in a UTF-8 text.
Verdict FindUnaccepted(std::string_view text) {
  // For libyaml these end a line, and so a comment, as YAML 1.1 says. Most editors show them within the line,
  // where a key behind one looks like a part of the comment.
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    const bool is_lone_cr = rest[0] == '\r' && !rest.starts_with("\r\n");
    if (is_lone_cr || rest.starts_with("\xC2\x85") || rest.starts_with("\xE2\x80\xA8") ||
        rest.starts_with("\xE2\x80\xA9")) {
      return Refusal{
          PlaceIn(text, i),
          "holds a character that ends a line only for some programs: CR without LF, U+0085, U+2028 "
          "or U+2029"};
    }
  }
  // libyaml takes time that grows with the square of their number.
  const std::size_t tag = text.starts_with("%TAG") ? 0 : text.find("\n%TAG");
  if (tag != std::string_view::npos) return Refusal{PlaceIn(text, tag == 0 ? 0 : tag + 1), kNoTags};
  return std::nullopt;
}

// The words that YAML's core schema reads as no value.
bool IsNull(std::string_view plain) {
  return plain.empty() || plain == "~" || plain == "null" || plain == "Null" || plain == "NULL";
}

// One event of libyaml.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }

  yaml_event_t* get() { return &event_; }
  const yaml_event_t& operator*() const { return event_; }
  const yaml_event_t* operator->() const { return &event_; }

 private:
  yaml_event_t event_ = {};
};

// libyaml's parser of one text, which must outlive it.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    if (yaml_parser_initialize(&parser_) == 0) throw std::bad_alloc();
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const yaml_char_t*>(text.data()), text.size());
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() { yaml_parser_delete(&parser_); }

  Verdict Next(Event& event) {
    if (yaml_parser_parse(&parser_, event.get()) != 0) return std::nullopt;
    if (parser_.error == YAML_MEMORY_ERROR) throw std::bad_alloc();
    if (parser_.error == YAML_READER_ERROR) {
      constexpr int kFirstPrintable = 0xA0;  // behind C1
      return Refusal{PlaceIn(text_, parser_.problem_offset),
                     parser_.problem_value < kFirstPrintable
                         ? "holds a control character, which YAML does not allow"
                         : "holds a character that YAML does not allow"};
    }
    const Position place = PositionOf(parser_.problem_mark);
    if (IsAtTab()) return Refusal{place, kTab};
    const std::optional<Position> tab = TabIn(text_, place.line);
    return Refusal{tab.value_or(place), tab ? kTab : Explain(parser_.problem)};
  }

 private:
  bool IsAtTab() const {
    const auto& buffer = parser_.buffer;
    return parser_.error == YAML_SCANNER_ERROR && buffer.pointer < buffer.last && *buffer.pointer == '\t';
  }

  const std::string_view text_;
  yaml_parser_t parser_ = {};
};

}  // namespace

// Builds a document of libyaml's events. libyaml's own tree would expand aliases.
class YamlBuilder {
 public:
  // `size`: of the document's text in bytes.
  explicit YamlBuilder(std::size_t size) : document_(std::make_shared<YamlDocument>(kGrowth * (1 + size))) {}

  std::shared_ptr<const YamlDocument> Take() { return std::move(document_); }

  Verdict Add(const yaml_event_t& event) {
    const Position position = PositionOf(event.start_mark);
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        if (std::exchange(started_, true)) return Refusal{position, "only one YAML document is accepted"};
        return std::nullopt;
      case YAML_ALIAS_EVENT:  // of no anchor, as anchors are refused
        return Refusal{position, kNeedsQuotes};
      case YAML_SCALAR_EVENT:
        return AddScalar(event.data.scalar, position);
      case YAML_SEQUENCE_START_EVENT: {
        const auto& sequence = event.data.sequence_start;
        return Open(YamlNode(YamlNode::Kind::kSequence, position), sequence.anchor, sequence.tag);
      }
      case YAML_MAPPING_START_EVENT: {
        const auto& mapping = event.data.mapping_start;
        YamlNode node(YamlNode::Kind::kMapping, position);
        node.flow = mapping.style == YAML_FLOW_MAPPING_STYLE;
        return Open(node, mapping.anchor, mapping.tag);
      }
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        Close();
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }

 private:
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

  Verdict AddScalar(const decltype(yaml_event_t::data.scalar)& scalar, Position position) {
    const std::string_view text = TextOf(scalar.value, scalar.length);
    const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    YamlNode node(plain && IsNull(text) ? YamlNode::Kind::kNull : YamlNode::Kind::kScalar, position);
    if (Verdict refused = Check(node, scalar.anchor, scalar.tag)) return refused;
    if (node.kind == YamlNode::Kind::kScalar) {
      node.quoted = !plain;
      node.size_ = static_cast<std::uint32_t>(text.size());
      node.text_ = std::ranges::copy(text, Allocate<char>(text.size())).out - text.size();
    }
    Place(node);
    return std::nullopt;
  }

  Verdict Check(const YamlNode& node, const yaml_char_t* anchor, const yaml_char_t* tag) const {
    if (anchor != nullptr) {
      return Refusal{node.position, "anchors are not accepted: write the value out where it is needed"};
    }
    if (tag != nullptr) return Refusal{node.position, kNoTags};
    const bool is_key = depth_ > 0 && open_[depth_ - 1].ExpectsKey();
    if (is_key && node.kind != YamlNode::Kind::kScalar) return Refusal{node.position, "a key must be a word"};
    return std::nullopt;
  }

  Verdict Open(const YamlNode& node, const yaml_char_t* anchor, const yaml_char_t* tag) {
    if (Verdict refused = Check(node, anchor, tag)) return refused;
    if (depth_ == kMaxDepth) return Refusal{node.position, "is nested too deeply"};
    Container& container = open_[depth_++];
    container.node = node;
    container.keys.clear();
    container.items.clear();
    return std::nullopt;
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

  // About what nodes and texts take, against the text of the file. The memory grows if it is more.
  static constexpr std::size_t kGrowth = 4;

  std::shared_ptr<YamlDocument> document_;
  std::array<Container, kMaxDepth> open_;  // the first `depth_` are open, each in the one before it
  std::size_t depth_ = 0;
  bool started_ = false;
};

namespace {

Verdict Build(std::string_view text, YamlBuilder& builder) {
  // libyaml would also read UTF-16.
  if (!Utf16Length(text)) return Refusal{{}, "is not UTF-8"};
  if (Verdict refused = FindUnaccepted(text)) return refused;
  Parser parser(text);
  while (true) {
    Event event;
    if (Verdict refused = parser.Next(event)) return refused;
    if (event->type == YAML_STREAM_END_EVENT) return std::nullopt;
    if (Verdict refused = builder.Add(*event)) return refused;
  }
}

}  // namespace

std::shared_ptr<const YamlDocument> ParseYaml(std::string_view text, Report& report) {
  YamlBuilder builder(text.size());
  if (const Verdict refused = Build(text, builder)) {
    report.ErrorAt(refused->position, refused->why);
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
