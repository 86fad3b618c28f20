#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "client/commands.h"
#include "client/log_files.h"
#include "client/table.h"
#include "daemon/audit/record_view.h"

namespace tokend::client {

// Prints records as they come: as their lines stand (JSON), as CSV, or as tables. Tables are printed in
// pieces, so that memory does not grow with the log. One thread at a time.
class RecordPrinter {
 public:
  // With `files`, a table names the file of each record.
  RecordPrinter(OutputForm form, bool files) : form_(form), files_(files) {}

  // Returns false where standard output fails.
  bool Add(std::string_view line, const audit::RecordView& record, const std::string& file);
  bool Flush();

  std::uint64_t count() const { return count_; }

 private:
  Row Head() const;
  Row RowOf(const audit::RecordView& record, const std::string& file) const;

  OutputForm form_;
  bool files_;
  std::size_t width_ = TerminalWidth();
  std::vector<Row> rows_;  // a table's: the head is the first
  std::uint64_t count_ = 0;
};

}  // namespace tokend::client
