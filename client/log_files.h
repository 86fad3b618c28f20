#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/audit/log_reader.h"
#include "daemon/audit/log_store.h"
#include "daemon/base/result.h"

namespace tokend::client {

// A file of an audit log, as it is or compressed (.gz, .zst: told by its first bytes).
Result<std::unique_ptr<audit::ReadFile>> OpenLogFile(const std::string& path);

// The files of one audit log, given in any order, read as one log in constant memory: ordered by their first
// sequence number, and without the lines that a later file begins again (audit.recovered). One thread.
class LogFiles {
 public:
  // Told how many bytes of all files have been read, packed as they are, of how many.
  using Progress = std::function<void(std::uint64_t read, std::uint64_t of)>;

  // INVALID_ARGUMENT where a file cannot be read.
  static Result<LogFiles> Open(const std::vector<std::string>& paths, Progress progress = nullptr);

  struct Line {
    std::string_view text;                    // valid until the next call
    std::optional<audit::v1::Record> record;  // nothing: it is none
    const std::string* file;
  };

  // The next line that is part of the log; nothing at the end.
  Result<std::optional<Line>> Next();

 private:
  struct File {
    std::string path;
    std::uint64_t first = 0;                                          // sequence number
    std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();  // from here on a later file counts
    std::uint64_t size = 0;
  };

  LogFiles() = default;
  Status OpenNext();

  std::vector<File> files_;
  std::size_t current_ = 0;  // one behind the open one
  std::unique_ptr<audit::ReadFile> open_;
  std::unique_ptr<audit::LineReader> lines_;
  std::unique_ptr<audit::LineParser> parser_ = std::make_unique<audit::LineParser>();
  Progress progress_;
  std::uint64_t total_ = 0;
  std::uint64_t before_ = 0;  // bytes of the files that are behind
  std::uint64_t last_ = 0;    // sequence number of the last record
};

}  // namespace tokend::client
