#include "client/record_printer.h"

#include <absl/time/time.h>

#include <utility>

namespace tokend::client {
namespace {

constexpr std::size_t kRowsAtATime = 1000;

// The name of the caller or, if a relay called, "RELAY for ITS-CALLER".
std::string CallerText(const audit::RecordView::Caller& caller) {
  std::string text(caller.name);
  if (!caller.on_behalf_of.empty()) text.append(" for ").append(caller.on_behalf_of);
  return text;
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

Row RecordPrinter::RowOf(const audit::RecordView& record, const std::string& file) const {
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(record.time), absl::UTCTimeZone());
  std::string detail(record.reason);
  if (!record.detail.empty()) detail.append(detail.empty() ? "" : ": ").append(record.detail);
  Row row;
  if (files_ || form_ == OutputForm::kCsv) row.push_back(file);
  const auto text = [](std::string_view field) { return std::string(field); };
  row.insert(row.end(),
             {std::to_string(record.seq), time, text(record.event),
              form_ == OutputForm::kCsv ? text(record.caller.name) : CallerText(record.caller),
              text(record.target.organization), text(record.target.application),
              text(record.target.description), text(record.request_id), text(record.token.id), detail});
  if (form_ == OutputForm::kCsv) {
    row.insert(row.end(), {text(record.grant), record.count > 0 ? std::to_string(record.count) : ""});
  }
  return row;
}

bool RecordPrinter::Add(std::string_view line, const audit::RecordView& record, const std::string& file) {
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
