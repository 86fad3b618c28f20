#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokend::audit {

// The names of a log's files. Of the log "/var/log/audit.jsonl", audit.jsonl is the open file, and closed
// files are audit-<first seq, 20 digits>.jsonl. A file whose name is taken gets "-r" before ".jsonl", as
// often as needed.
class LogNames {
 public:
  struct Closed {
    std::uint64_t first = 0;
    std::string name;
  };

  explicit LogNames(std::string open);

  const std::string& open() const { return open_; }
  // The name of a new file until it is complete. A file that is left under this name is not part of the log.
  std::string next() const { return open_ + ".new"; }
  // A name for a closed file that is not among `taken`.
  std::string CloseAs(std::uint64_t first, const std::vector<std::string>& taken) const;
  // The closed files among `names`, oldest first.
  std::vector<Closed> FindClosed(const std::vector<std::string>& names) const;

 private:
  std::optional<Closed> ParseClosed(const std::string& name) const;

  std::string open_;
  std::string stem_;       // such as "audit"
  std::string extension_;  // such as ".jsonl"
};

}  // namespace tokend::audit
