#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <string_view>

#include "daemon/base/large_blocks.h"
#include "daemon/config/report.h"

namespace tokend::config {

// A part of a YAML document as it was written, with repeated keys, order and positions. It is small and
// refers to its document: a configuration of 10,000 grants has 200,000 of them.
class YamlNode {
 public:
  enum class Kind : std::uint8_t { kNull, kScalar, kSequence, kMapping };

  YamlNode() = default;
  YamlNode(Kind its_kind, Position its_position) : kind(its_kind), position(its_position) {}

  Kind kind = Kind::kNull;
  bool quoted = false;  // of a scalar
  bool flow = false;    // of a mapping: {a: b}
  Position position = {};

  // Of a scalar.
  std::string_view text() const {
    return kind == Kind::kScalar ? std::string_view(text_, size_) : std::string_view();
  }
  // Of a mapping: scalars, one for each item.
  std::span<const YamlNode> keys() const {
    return kind == Kind::kMapping ? std::span(nodes_, size_) : std::span<const YamlNode>();
  }
  // Of a sequence or a mapping.
  std::span<const YamlNode> items() const {
    if (kind == Kind::kMapping) return {nodes_ + size_, size_};
    return kind == Kind::kSequence ? std::span(nodes_, size_) : std::span<const YamlNode>();
  }

 private:
  friend class YamlBuilder;

  std::uint32_t size_ = 0;  // of the text in bytes, or how many items there are
  union {
    const char* text_ = nullptr;
    const YamlNode* nodes_;  // the keys, and after them the items
  };
};
static_assert(sizeof(YamlNode) == 24);

// One document and all its nodes. It is freed as a whole.
class YamlDocument {
 public:
  // `size`: of its nodes and texts in bytes, about.
  explicit YamlDocument(std::size_t size) : memory_(size, &LargeBlocks()) {}

  const YamlNode& root() const { return root_; }

 private:
  friend class YamlBuilder;

  std::pmr::monotonic_buffer_resource memory_;
  YamlNode root_;
};

// Reads one document. Null, and one error in the report, where the text is not UTF-8 YAML, is empty, holds
// more than one document, nests deeper than kMaxDepth, or uses anchors, aliases or tags.
std::shared_ptr<const YamlDocument> ParseYaml(std::string_view text, Report& report);

inline constexpr std::size_t kMaxDepth = 16;

}  // namespace tokend::config
