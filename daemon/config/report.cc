#include "daemon/config/report.h"

#include <algorithm>
#include <charconv>

#include "daemon/base/text.h"
#include "daemon/config/yaml.h"

namespace tokend::config {
namespace {

struct Entry {
  const YamlNode* value;
  Position position;
};

// The first key of this name.
std::optional<Entry> FindKey(const YamlNode& mapping, std::string_view name) {
  const auto keys = mapping.keys();
  const auto key = std::find_if(keys.begin(), keys.end(),
                                [name](const YamlNode& candidate) { return candidate.text() == name; });
  if (key == keys.end()) return std::nullopt;
  const YamlNode& value = mapping.items()[static_cast<std::size_t>(key - keys.begin())];
  return Entry{&value, value.kind == YamlNode::Kind::kScalar ? value.position : key->position};
}

// `index` is what stands in "[…]".
std::optional<Entry> FindItem(const YamlNode& list, std::string_view index) {
  std::size_t number = 0;
  std::from_chars(index.data(), index.data() + index.size(), number);
  if (list.kind != YamlNode::Kind::kSequence || number >= list.items().size()) return std::nullopt;
  return Entry{&list.items()[number], list.items()[number].position};
}

// Walks from the document's root along the path.
std::optional<Entry> FindIn(const YamlNode& root, std::string_view path) {
  Entry found{&root, root.position};
  while (!path.empty()) {
    const bool is_item = path.front() == '[';
    const std::size_t end = std::min(path.find_first_of(is_item ? "]" : ".["), path.size());
    const std::optional<Entry> next = is_item ? FindItem(*found.value, path.substr(1, end - 1))
                                              : FindKey(*found.value, path.substr(0, end));
    if (!next) return std::nullopt;
    found = *next;
    path.remove_prefix(is_item ? end + 1 : end);
    if (path.starts_with('.')) path.remove_prefix(1);
  }
  return found;
}

}  // namespace

std::string Under(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : Concat({path, ".", key});
}

void Report::Error(const std::string& path, std::string_view text) {
  errors_.push_back({PlaceOf(path), Concat({path, ": ", text})});
}

void Report::Warning(const std::string& path, std::string_view text) {
  warnings_.push_back({PlaceOf(path), Concat({path, ": ", text})});
}

void Report::ErrorAt(Position position, std::string_view text) {
  errors_.push_back({position, std::string(text)});
}

std::optional<Position> Report::Find(std::string_view path) const {
  if (document_ != nullptr) {
    if (const auto found = FindIn(document_->root(), path)) return found->position;
  }
  const auto misnamed = misnamed_.find(path);
  return misnamed == misnamed_.end() ? std::nullopt : std::optional(misnamed->second);
}

Position Report::PlaceOf(std::string_view path) const {
  while (!path.empty()) {
    if (const auto place = Find(path)) return *place;
    const std::size_t end = path.find_last_of(".[");
    path = path.substr(0, end == std::string_view::npos ? 0 : end);
  }
  return {};
}

std::vector<std::string> Report::Lines(std::vector<Finding> findings, std::string_view severity) const {
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& left, const Finding& right) { return left.position < right.position; });
  std::vector<std::string> lines;
  for (const Finding& finding : findings) {
    const auto& [line, column] = finding.position;
    const std::string place =
        Concat({filename_, ":", std::to_string(line), ":", std::to_string(column), ": ", severity, ": "});
    if (lines.size() == kMaxLines) {
      lines.push_back(Concat({place, std::to_string(findings.size() - kMaxLines), " more from here on"}));
      break;
    }
    lines.push_back(Concat({place, finding.text}));
  }
  return lines;
}

}  // namespace tokend::config
