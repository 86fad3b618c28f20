#pragma once

#include <compare>
#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tokend::config {

class YamlDocument;

// Counted from 1, columns in characters.
struct Position {
  int line = 1;
  int column = 1;
  auto operator<=>(const Position&) const = default;  // NOLINT(modernize-use-nullptr): not a pointer
};

// "a.b" for "a" and "b", "b" for "" and "b".
std::string Under(std::string_view path, std::string_view key);
// "a[3]"
template <std::integral Index>
std::string Item(std::string_view path, Index index) {
  return std::string(path) + "[" + std::to_string(index) + "]";
}

// Collects the errors and warnings of one file. Paths look like "listeners[0].tls.certificate_file". Owned by
// one thread.
class Report {
 public:
  explicit Report(std::string filename) : filename_(std::move(filename)) {}

  // The file's content, in which the report finds the position of a key.
  void SetDocument(std::shared_ptr<const YamlDocument> document) { document_ = std::move(document); }
  // The position of a key that the file has under another name, by mistake.
  void Locate(std::string path, Position position) { misnamed_.insert_or_assign(std::move(path), position); }
  // Whether the file contains this key; a default does not count.
  bool Has(std::string_view path) const { return Find(path).has_value(); }

  // "PATH: text" at the key's position, or at that of the nearest key around it.
  void Error(const std::string& path, std::string_view text);
  void Warning(const std::string& path, std::string_view text);
  void ErrorAt(Position position, std::string_view text);

  // Whole lines, sorted by position: at most kMaxLines, then one with the number of those left out.
  std::vector<std::string> Errors() const { return Lines(errors_, "error"); }
  std::vector<std::string> Warnings() const { return Lines(warnings_, "warning"); }

  static constexpr std::size_t kMaxLines = 1000;

 private:
  struct Finding {
    Position position;
    std::string text;
  };

  std::optional<Position> Find(std::string_view path) const;
  Position PlaceOf(std::string_view path) const;
  std::vector<std::string> Lines(std::vector<Finding> findings, std::string_view severity) const;

  std::string filename_;
  std::shared_ptr<const YamlDocument> document_;
  std::map<std::string, Position, std::less<>> misnamed_;
  std::vector<Finding> errors_;
  std::vector<Finding> warnings_;
};

}  // namespace tokend::config
