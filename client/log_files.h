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

// Opens a file of an audit log. Its first bytes tell whether it is compressed with gzip or zstd.
Result<std::unique_ptr<audit::ReadFile>> OpenLogFile(const std::string& path);

// Reads the files of one audit log, given in any order, as one log in constant memory. Files are ordered by
// their first sequence number. Where a later file repeats sequence numbers (audit.recovered), its lines
// count. One thread at a time.
class LogFiles {
 public:
  // Called with the number of bytes that have been read, and of all files together. Both count compressed
  // bytes.
  using Progress = std::function<void(std::uint64_t read, std::uint64_t of)>;

  // INVALID_ARGUMENT says which file cannot be read.
  static Result<LogFiles> Open(const std::vector<std::string>& paths, Progress progress = nullptr);

  struct Line {
    std::string_view text;                    // valid until the next call
    std::optional<audit::v1::Record> record;  // nothing: the line is not a record
    const std::string* file;
  };

  // Returns the next line that is part of the log, or nothing at the end.
  Result<std::optional<Line>> Next();

 private:
  struct File {
    std::string path;
    std::uint64_t first = 0;  // sequence number
    std::uint64_t limit =
        std::numeric_limits<std::uint64_t>::max();  // from here on the lines of later files count
    std::uint64_t size = 0;
  };

  LogFiles() = default;
  Status OpenNext();

  std::vector<File> files_;
  std::size_t current_ = 0;  // index of the next file to open
  std::unique_ptr<audit::ReadFile> open_;
  std::unique_ptr<audit::LineReader> lines_;
  std::unique_ptr<audit::LineParser> parser_ = std::make_unique<audit::LineParser>();
  Progress progress_;
  std::uint64_t total_ = 0;
  std::uint64_t before_ = 0;  // bytes of the files that have been read
  std::uint64_t last_ = 0;    // sequence number of the last record
};

}  // namespace tokend::client
