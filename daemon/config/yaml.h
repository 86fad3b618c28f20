#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/report.h"

namespace tokend::config {

// A YAML document as it was written, with repeated keys, order and positions.
struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMapping };
  Kind kind = Kind::kNull;
  Position position = {};
  bool quoted = false;               // of a scalar
  std::string text = {};             // of a scalar
  bool flow = false;                 // of a mapping: {a: b}
  std::vector<YamlNode> keys = {};   // of a mapping: scalars, one for each item
  std::vector<YamlNode> items = {};  // of a sequence or a mapping
};

// Reads one document. Nothing, and one error in the report, where the text is not UTF-8 YAML, is empty, holds
// more than one document, nests deeper than kMaxDepth, or uses anchors, aliases or tags.
std::optional<YamlNode> ParseYaml(std::string_view text, Report& report);

inline constexpr std::size_t kMaxDepth = 16;

}  // namespace tokend::config
