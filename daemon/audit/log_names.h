#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokend::audit {

// What a log's files are called. For "/var/log/audit.jsonl": audit.jsonl is open, and the closed ones are
// audit-<first seq, 20 digits>.jsonl, with one "-r" more for each that has the name already.
class LogNames {
 public:
  struct Closed {
    std::uint64_t first = 0;
    std::string name;
  };

  explicit LogNames(std::string open);

  const std::string& open() const { return open_; }
  // Where a file is made before it takes the open one's place. What is left there was never part of the log.
  std::string next() const { return open_ + ".new"; }
  // A name for a closed file that none of `taken` has.
  std::string CloseAs(std::uint64_t first, const std::vector<std::string>& taken) const;
  // The closed files among `names`, in the order in which they were written.
  std::vector<Closed> FindClosed(const std::vector<std::string>& names) const;

 private:
  std::optional<Closed> ParseClosed(const std::string& name) const;

  std::string open_;
  std::string stem_;       // "audit"
  std::string extension_;  // ".jsonl"
};

}  // namespace tokend::audit
