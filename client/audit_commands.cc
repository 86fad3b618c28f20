#include "client/audit_commands.h"

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/audit_verify.h"
#include "client/log_files.h"
#include "client/record_printer.h"
#include "client/table.h"
#include "client/unresolved_tokens.h"
#include "daemon/base/json.h"

namespace tokend::client {
namespace {

constexpr std::uint64_t kProgressBytes = std::uint64_t{64} << 20U;

Exit Fail(const Status& status) { return UsageError(std::string(status.message())); }

// Shows progress where standard error is a terminal and the files are long.
LogFiles::Progress ProgressOnTerminal() {
  if (isatty(STDERR_FILENO) == 0) return nullptr;
  return [](std::uint64_t read, std::uint64_t of) {
    if (of < kProgressBytes) return;
    std::fprintf(stderr, "\r%3llu %%%s", static_cast<unsigned long long>(read * 100 / of),
                 read == of ? "\r     \r" : "");
    std::fflush(stderr);
  };
}

void PrintNotes(const LogFiles& log) {
  for (const std::string& note : log.notes()) PrintError(Printable(note));
}

std::string Joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::string Text(const Break& broken) {
  return "result: broken\nseq: " + std::to_string(broken.seq) + "\nwhat: " + broken.what +
         "\ndetail: " + Printable(broken.detail) + "\n";
}

std::string Text(const VerifiedLog& found) {
  std::string text = "records: " + std::to_string(found.records) + "\nfirst: " + std::to_string(found.first) +
                     "\nlast: " + std::to_string(found.last) + "\nhead: " + found.head + "\n";
  if (found.checkpoints > 0) {
    text += "signed checkpoints: " + std::to_string(found.checkpoints) +
            "\nrecords behind the last of them: " + std::to_string(found.unsigned_records) + "\n";
  }
  if (found.anchors > 0) text += "anchors that hold: " + std::to_string(found.anchors) + "\n";
  text += "files: " + Printable(Joined(found.files)) + "\n";
  for (const std::string& what : found.not_checked) text += "not checked: " + what + "\n";
  return text + (found.broken ? Text(*found.broken) : "result: intact\n");
}

std::string Text(const Verified& verified) {
  std::string text;
  for (const VerifiedLog& log : verified.logs) text += (text.empty() ? "" : "\n") + Text(log);
  for (const Verified::UnmetAnchor& unmet : verified.unmet_anchors) {
    text += "\nanchor: " + std::to_string(unmet.anchor.seq) + ":" + unmet.anchor.prev +
            "\nholds in: none of the logs\n" + Text(unmet.broken);
  }
  if (!verified.notes.empty()) text += "\n";
  for (const std::string& note : verified.notes) text += "note: " + Printable(note) + "\n";
  return text;
}

void AddBreak(const Break& broken, JsonObject& object) {
  object.Member("seq", broken.seq);
  object.Member("what", broken.what);
  object.Member("detail", broken.detail);
}

std::string JsonTexts(const std::vector<std::string>& texts) {
  std::string json;
  JsonArray array(json);
  for (const std::string& text : texts) array.Element(text);
  array.End();
  return json;
}

std::string Json(const VerifiedLog& found) {
  std::string json;
  JsonObject object(json);
  object.Member("records", found.records);
  object.Member("first", found.first);
  object.Member("last", found.last);
  object.Member("head", found.head);
  object.Member("signed_checkpoints", found.checkpoints);
  object.Member("anchors", found.anchors);
  object.RawMember("files", JsonTexts(found.files));
  object.RawMember("not_checked", JsonTexts(found.not_checked));
  object.Member("intact", !found.broken);
  if (found.broken) AddBreak(*found.broken, object);
  object.End();
  return json + "\n";
}

std::string Json(const Verified& verified) {
  std::string json;
  for (const VerifiedLog& log : verified.logs) json += Json(log);
  for (const Verified::UnmetAnchor& unmet : verified.unmet_anchors) {
    JsonObject object(json);
    object.Member("anchor", std::to_string(unmet.anchor.seq) + ":" + unmet.anchor.prev);
    object.Member("intact", false);
    AddBreak(unmet.broken, object);
    object.End();
    json += "\n";
  }
  return json;
}

std::string CsvOf(const Verified& verified) {
  std::vector<Row> rows = {
      {"FILES", "RECORDS", "FIRST", "LAST", "HEAD", "NOT CHECKED", "RESULT", "SEQ", "WHAT", "DETAIL"}};
  const auto add = [&rows](Row row, const std::optional<Break>& broken) {
    const Row result = broken ? Row{"broken", std::to_string(broken->seq), broken->what, broken->detail}
                              : Row{"intact", "", "", ""};
    row.insert(row.end(), result.begin(), result.end());
    rows.push_back(std::move(row));
  };
  for (const VerifiedLog& log : verified.logs) {
    add({Joined(log.files), std::to_string(log.records), std::to_string(log.first), std::to_string(log.last),
         log.head, Joined(log.not_checked)},
        log.broken);
  }
  for (const Verified::UnmetAnchor& unmet : verified.unmet_anchors) {
    add({"", "", "", "", "", ""}, unmet.broken);
  }
  return Csv(rows);
}

Result<VerifyOptions> MakeOptions(const VerifyArguments& arguments) {
  VerifyOptions options;
  options.public_key_file = arguments.public_key;
  options.from_start = arguments.from_start;
  for (const std::string& anchor : arguments.anchors) {
    if (Status added = options.anchors.Add(anchor); !added.ok()) {
      return absl::InvalidArgumentError("--anchor: " + std::string(added.message()));
    }
  }
  if (!arguments.anchors_file.empty()) {
    if (Status added = options.anchors.AddFrom(arguments.anchors_file); !added.ok()) return added;
  }
  return options;
}

bool PrintVerified(const Verified& verified, OutputForm form) {
  switch (form) {
    case OutputForm::kJson:
      return Print(Json(verified));
    case OutputForm::kCsv:
      return Print(CsvOf(verified));
    case OutputForm::kText:
      break;
  }
  return Print(Text(verified));
}

}  // namespace

Exit RunVerify(const VerifyArguments& arguments, OutputForm form) {
  Result<VerifyOptions> options = MakeOptions(arguments);
  if (!options.ok()) return Fail(options.status());
  Result<LogFiles> log = LogFiles::Open(arguments.files, ProgressOnTerminal());
  if (!log.ok()) return Fail(log.status());
  const Result<Verified> verified = Verify(*log, *std::move(options));
  if (!verified.ok()) return Fail(verified.status());
  if (form != OutputForm::kText) PrintNotes(*log);
  if (!PrintVerified(*verified, form)) return kFailed;
  return verified->intact() ? kDone : kVerificationFailed;
}

Exit RunFind(const std::vector<std::string>& files, const FindArguments& arguments, OutputForm form) {
  Result<RecordFilter> filter = RecordFilter::Make(arguments);
  if (!filter.ok()) return Fail(filter.status());
  Result<LogFiles> log = LogFiles::Open(files, ProgressOnTerminal());
  if (!log.ok()) return Fail(log.status());
  RecordPrinter printer(form, files.size() > 1);
  while (true) {
    const auto line = log->Next();
    if (!line.ok()) return Fail(line.status());
    if (!line->has_value()) break;
    const LogFiles::Line& found = **line;
    if (filter->Matches(*found.record) && !printer.Add(found.text, *found.record, *found.file))
      return kFailed;
  }
  PrintNotes(*log);
  if (!printer.Flush()) return kFailed;
  if (printer.count() > 0) return kDone;
  if (filter->other_key() > 0) {
    PrintError(std::to_string(filter->other_key()) +
               " records hold fingerprints that were made with another key: whether one of them is this "
               "token's cannot be told");
    return kFailed;
  }
  PrintError("no record matches");
  if (filter->unnamed_key() > 0) {
    PrintError(std::to_string(filter->unnamed_key()) +
               " records do not name the key that made their fingerprints: it may be another one");
  }
  return kNothingFound;
}

namespace {

// Prints what is left of a log, and says what of it was not read: with `missing`, a line that may be an
// intent or an end.
bool FinishLog(const LogFiles::Log& log, UnresolvedTokens& tokens, RecordPrinter& printer, bool& missing) {
  audit::LineParser parser;
  for (UnresolvedTokens::Entry& entry : tokens.Finish()) {
    const std::string line = entry.line;
    entry.line.resize(line.size() + simdjson::SIMDJSON_PADDING);
    const audit::RecordView* const record = parser.Parse(std::string_view(entry.line).substr(0, line.size()));
    if (record != nullptr && !printer.Add(line, *record, entry.file)) return false;
  }
  if (tokens.first() > 1 && !log.branch) {
    PrintError(Printable(log.files.front()) + " begins at seq " + std::to_string(tokens.first()) +
               ": what came before was not read");
  }
  missing = missing || tokens.missing() || (log.damaged_end && log.damaged_end->lines > 1);
  tokens = {};
  return true;
}

}  // namespace

Exit RunUnresolved(const std::vector<std::string>& files, OutputForm form) {
  Result<LogFiles> log = LogFiles::Open(files, ProgressOnTerminal());
  if (!log.ok()) return Fail(log.status());
  RecordPrinter printer(form, files.size() > 1);
  UnresolvedTokens tokens;
  std::size_t current = 0;
  bool missing = false;
  const auto finish = [&] { return FinishLog(log->logs()[current], tokens, printer, missing); };
  while (true) {
    const auto line = log->Next();
    if (!line.ok()) return Fail(line.status());
    if (!line->has_value()) break;
    if ((*line)->log != current && !finish()) return kFailed;
    current = (*line)->log;
    if (!tokens.Take(**line)) {
      return UsageError("more than 1,000,000 tokens of one log are unresolved: is this an audit log?");
    }
  }
  if (!finish() || !printer.Flush()) return kFailed;
  PrintNotes(*log);
  if (missing) {
    PrintError(
        "a line that is missing or cannot be read may be an intent or its end: see tokenctl audit verify");
    return kVerificationFailed;
  }
  if (printer.count() > 0) return kDone;
  PrintError("every intent has an end, and no token is unknown or withheld");
  return kNothingFound;
}

}  // namespace tokend::client
