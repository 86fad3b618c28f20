#include "client/record_printer.h"

#include <absl/time/time.h>

#include <utility>

#include "daemon/audit/record_line.h"

namespace tokend::client {
namespace {

constexpr std::size_t kRowsAtATime = 1000;

// The name of the caller or, if a relay called, "RELAY for ITS-CALLER".
std::string CallerText(const audit::v1::Caller& caller) {
  return caller.on_behalf_of().empty() ? caller.name() : caller.name() + " for " + caller.on_behalf_of();
}

}  // namespace

Row RecordPrinter::Head() const {
  Row head;
  if (files_ || form_ == OutputForm::kCsv) head.push_back("FILE");
  head.insert(head.end(), {"SEQ", "TIME", "EVENT", "CALLER", "ORGANIZATION", "APPLICATION", "DESCRIPTION",
                           "REQUEST ID", "TOKEN", "DETAIL"});
  if (form_ == OutputForm::kCsv) head.insert(head.end(), {"GRANT", "COUNT"});
  return head;
}

Row RecordPrinter::RowOf(const audit::v1::Record& record, const std::string& file) const {
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(audit::TimeOf(record)), absl::UTCTimeZone());
  std::string detail = record.reason();
  if (!record.detail().empty()) detail += (detail.empty() ? "" : ": ") + record.detail();
  Row row;
  if (files_ || form_ == OutputForm::kCsv) row.push_back(file);
  row.insert(row.end(), {std::to_string(record.seq()), time, record.event(),
                         form_ == OutputForm::kCsv ? record.caller().name() : CallerText(record.caller()),
                         record.target().organization(), record.target().application(),
                         record.target().description(), record.request_id(), record.token().id(), detail});
  if (form_ == OutputForm::kCsv) {
    row.insert(row.end(), {record.grant(), record.count() > 0 ? std::to_string(record.count()) : ""});
  }
  return row;
}

bool RecordPrinter::Add(std::string_view line, const audit::v1::Record& record, const std::string& file) {
  ++count_;
  switch (form_) {
    case OutputForm::kJson:
      return Print(std::string(line) + "\n");
    case OutputForm::kCsv:
      return (count_ > 1 || Print(CsvHead(Head()))) && Print(CsvLine(RowOf(record, file)));
    case OutputForm::kText:
      break;
  }
  if (rows_.empty()) rows_.push_back(Head());
  rows_.push_back(RowOf(record, file));
  return rows_.size() < kRowsAtATime || Flush();
}

bool RecordPrinter::Flush() {
  if (rows_.empty()) return true;
  return Print(Table(std::exchange(rows_, {}), width_));
}

}  // namespace tokend::client
