#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/audit/log_store.h"
#include "daemon/audit/record_view.h"
#include "simdjson.h"

namespace tokend::audit {

// Reads a file of a log line by line, in constant memory. One thread at a time.
class LineReader {
 public:
  struct Line {
    std::string_view text;  // without the newline; valid until the next call
    bool whole = false;     // the line ends with a newline and is shorter than kMaxLine
  };

  explicit LineReader(ReadFile& file);

  // Returns the next line, or nothing at the end of the file.
  Result<std::optional<Line>> Next();

  // Whether the line that Next returned last is the file's last one, and has no newline.
  bool cut_off() const { return cut_off_; }

 private:
  Result<bool> Fill();

  ReadFile& file_;
  std::vector<char> buffer_;  // ends with the padding that simdjson needs
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool cut_off_ = false;
};

// Parses lines that ToLine wrote, strictly. The line must be followed by simdjson's padding, as the lines of
// LineReader are. One thread at a time.
class LineParser {
 public:
  // Returns the record, valid until the next call, or null where the line is not a record.
  const RecordView* Parse(std::string_view line);

 private:
  simdjson::dom::parser parser_;
  RecordView view_;
};

}  // namespace tokend::audit
