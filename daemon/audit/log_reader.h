#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/audit/log_store.h"
#include "simdjson.h"
#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// Reads a log's file line by line in constant memory. One thread at a time.
class LineReader {
 public:
  struct Line {
    std::string_view text;  // without the newline; valid until the next call
    bool whole = false;     // ends with a newline, and is no longer than a line may be
  };

  explicit LineReader(ReadFile& file);

  // The next line; nothing at the end of the file.
  Result<std::optional<Line>> Next();

 private:
  Result<bool> Fill();

  ReadFile& file_;
  std::vector<char> buffer_;  // with simdjson's padding behind what is used
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// Reads lines that ToLine wrote, strictly. One thread at a time.
class LineParser {
 public:
  // What the line says. Nothing if it is no record. simdjson's padding must stand behind the line, as
  // LineReader has it.
  std::optional<v1::Record> Parse(std::string_view line);

 private:
  simdjson::dom::parser parser_;
};

}  // namespace tokend::audit
