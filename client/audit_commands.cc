#include "client/audit_commands.h"

#include <absl/strings/numbers.h>
#include <absl/time/time.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/audit_verify.h"
#include "client/log_files.h"
#include "client/table.h"
#include "daemon/audit/events.h"
#include "daemon/audit/fingerprint.h"
#include "daemon/audit/record_line.h"
#include "daemon/base/form.h"
#include "daemon/base/json.h"

namespace tokend::client {
namespace {

using audit::v1::Record;

// The greatest number of intents without an end that are held. A daemon has at most some ten thousand at a
// time.
constexpr std::size_t kMaxOpenIntents = 1'000'000;
constexpr std::size_t kMaxBearerBytes = 128;
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

std::string Text(const Verified& found) {
  std::string text = "records: " + std::to_string(found.records) + "\nfirst: " + std::to_string(found.first) +
                     "\nlast: " + std::to_string(found.last) + "\nhead: " + found.head + "\n";
  if (found.checkpoints > 0) {
    text += "signed checkpoints: " + std::to_string(found.checkpoints) +
            "\nrecords behind the last of them: " + std::to_string(found.unsigned_records) + "\n";
  }
  if (!found.broken) return text + "result: intact\n";
  return text + "result: broken\nseq: " + std::to_string(found.broken->seq) +
         "\nwhat: " + found.broken->what + "\ndetail: " + Printable(found.broken->detail) + "\n";
}

std::string Json(const Verified& found) {
  std::string json;
  JsonObject object(json);
  object.Member("records", found.records);
  object.Member("first", found.first);
  object.Member("last", found.last);
  object.Member("head", found.head);
  object.Member("signed_checkpoints", found.checkpoints);
  object.Member("intact", !found.broken);
  if (found.broken) {
    object.Member("seq", found.broken->seq);
    object.Member("what", found.broken->what);
    object.Member("detail", found.broken->detail);
  }
  object.End();
  return json + "\n";
}

Row HeadOfRecords() {
  return {"SEQ", "TIME", "EVENT", "CALLER", "ORGANIZATION", "APPLICATION", "REQUEST ID", "TOKEN", "DETAIL"};
}

Row RowOf(const Record& record) {
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(audit::TimeOf(record)), absl::UTCTimeZone());
  std::string detail = record.reason();
  if (!record.detail().empty()) detail += (detail.empty() ? "" : ": ") + record.detail();
  return {std::to_string(record.seq()),
          time,
          record.event(),
          record.caller().name(),
          record.target().organization(),
          record.target().application(),
          record.request_id(),
          record.token().id(),
          detail};
}

// Prints records as they come. Tables are printed in pieces, so that memory does not grow with the log.
class RecordPrinter {
 public:
  explicit RecordPrinter(OutputForm form) : form_(form) {}

  bool Add(std::string_view line, const Record& record) {
    ++count_;
    if (form_ == OutputForm::kJson) return Print(std::string(line) + "\n");
    rows_.push_back(RowOf(record));
    return rows_.size() < kRowsAtATime || Flush();
  }

  bool Flush() {
    if (rows_.size() <= 1) return true;
    const bool printed = Print(Table(std::exchange(rows_, {HeadOfRecords()})));
    return printed;
  }

  std::uint64_t count() const { return count_; }

 private:
  static constexpr std::size_t kRowsAtATime = 1000;
  OutputForm form_;
  std::vector<Row> rows_ = {HeadOfRecords()};
  std::uint64_t count_ = 0;
};

Exit End(RecordPrinter& printer, const std::string& none) {
  if (!printer.Flush()) return kFailed;
  if (printer.count() > 0) return kDone;
  PrintError(none);
  return kNothingFound;
}

struct Filter {
  std::string fingerprint;
  std::string request_id;
  std::optional<audit::RecordTime> since;
  std::optional<audit::RecordTime> until;

  bool Matches(const AuditArguments& asked, const Record& record) const {
    const auto time = audit::TimeOf(record);
    return (fingerprint.empty() || record.token().fingerprint() == fingerprint) &&
           (request_id.empty() || record.request_id() == request_id) &&
           (asked.caller.empty() || record.caller().name() == asked.caller) &&
           (asked.event.empty() || record.event() == asked.event) && (!since || time >= *since) &&
           (!until || time < *until);
  }
};

std::optional<audit::RecordTime> ParseMoment(const std::string& text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return std::nullopt;
  return std::chrono::floor<std::chrono::microseconds>(absl::ToChronoTime(time));
}

// The fingerprint of the bearer on standard input.
Result<std::string> FingerprintOfInput(const std::string& key_file) {
  const Result<audit::Fingerprinter> key = audit::Fingerprinter::FromFile(key_file);
  if (!key.ok()) return key.status();
  std::array<char, kMaxBearerBytes + 3> buffer{};
  const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), stdin);
  std::string_view text(buffer.data(), got);
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
  const Bearer bearer(text);
  OPENSSL_cleanse(buffer.data(), buffer.size());
  if (bearer.empty() || bearer.size() > kMaxBearerBytes) {
    return absl::InvalidArgumentError("standard input must hold one token: 1 to 128 characters");
  }
  return key->Of(bearer);
}

// A misspelt event would match no record, and that would look like an answer.
Status CheckEvent(const std::string& name) {
  if (audit::FindEvent(name) != nullptr) return absl::OkStatus();
  std::string names;
  for (const audit::Event* event : audit::kEvents)
    names += (names.empty() ? "" : ", ") + std::string(event->name);
  return absl::InvalidArgumentError("--event: must be one of " + names);
}

Result<Filter> MakeFilter(const AuditArguments& asked) {
  Filter filter;
  if (!asked.request_id.empty()) {
    std::optional<std::string> request_id = ParseUuid(asked.request_id);
    if (!request_id)
      return absl::InvalidArgumentError("--request-id: must be a UUID (8-4-4-4-12 hex digits)");
    filter.request_id = *std::move(request_id);
  }
  if (!asked.event.empty()) {
    if (Status known = CheckEvent(asked.event); !known.ok()) return known;
  }
  if (!asked.token.empty()) {
    if (asked.token != "-")
      return absl::InvalidArgumentError(
          "--token: must be -, for standard input: other users could read a token on the command line");
    if (asked.fingerprint_key.empty())
      return absl::InvalidArgumentError("--token - needs --fingerprint-key FILE");
    Result<std::string> fingerprint = FingerprintOfInput(asked.fingerprint_key);
    if (!fingerprint.ok()) return fingerprint.status();
    filter.fingerprint = *std::move(fingerprint);
  }
  if (!asked.since.empty() && !(filter.since = ParseMoment(asked.since))) {
    return absl::InvalidArgumentError("--since: must be a time such as 2026-01-31T08:00:00Z");
  }
  if (!asked.until.empty() && !(filter.until = ParseMoment(asked.until))) {
    return absl::InvalidArgumentError("--until: must be a time such as 2026-01-31T08:00:00Z");
  }
  return filter;
}

}  // namespace

Exit RunVerify(const AuditArguments& arguments, OutputForm form) {
  VerifyOptions options;
  options.public_key_file = arguments.public_key;
  if (!arguments.anchor.empty()) {
    const std::size_t colon = arguments.anchor.find(':');
    std::uint64_t seq = 0;
    const std::string prev = colon == std::string::npos ? "" : arguments.anchor.substr(colon + 1);
    if (!absl::SimpleAtoi(arguments.anchor.substr(0, colon), &seq) || seq == 0 || prev.size() != 64 ||
        prev.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return UsageError("--anchor: must be SEQ:PREV of a checkpoint, and PREV 64 lower-case hex digits");
    }
    options.anchor = {seq, prev};
  }
  Result<LogFiles> log = LogFiles::Open(arguments.files, ProgressOnTerminal());
  if (!log.ok()) return Fail(log.status());
  const Result<Verified> found = Verify(*log, options);
  if (!found.ok()) return Fail(found.status());
  if (found->records == 0 && !found->broken) {
    PrintError("the files hold no record");
    return kNothingFound;
  }
  if (!Print(form == OutputForm::kJson ? Json(*found) : Text(*found))) return kFailed;
  return found->broken ? kVerificationFailed : kDone;
}

Exit RunFind(const AuditArguments& arguments, OutputForm form) {
  const Result<Filter> filter = MakeFilter(arguments);
  if (!filter.ok()) return Fail(filter.status());
  Result<LogFiles> log = LogFiles::Open(arguments.files, ProgressOnTerminal());
  if (!log.ok()) return Fail(log.status());
  RecordPrinter printer(form);
  while (true) {
    const auto line = log->Next();
    if (!line.ok()) return Fail(line.status());
    if (!line->has_value()) break;
    const auto& record = (*line)->record;
    if (record && filter->Matches(arguments, *record) && !printer.Add((*line)->text, *record)) return kFailed;
  }
  return End(printer, "no record matches");
}

Exit RunUnresolved(const AuditArguments& arguments, OutputForm form) {
  Result<LogFiles> log = LogFiles::Open(arguments.files, ProgressOnTerminal());
  if (!log.ok()) return Fail(log.status());
  RecordPrinter printer(form);
  std::map<std::uint64_t, std::pair<std::string, Record>> open;
  while (true) {
    const auto line = log->Next();
    if (!line.ok()) return Fail(line.status());
    if (!line->has_value()) break;
    const auto& [text, record, file] = **line;
    if (!record) continue;
    const audit::Event* const event = audit::FindEvent(record->event());
    if (event == nullptr) continue;
    if (event->role == audit::Event::Role::kIntent) {
      if (open.size() >= kMaxOpenIntents)
        return UsageError("more than 1,000,000 intents have no end: are these the files of one log?");
      open.emplace(record->seq(), std::pair(std::string(text), *record));
    } else if (event->role == audit::Event::Role::kEnd) {
      open.erase(record->intent());
      if (event->unresolved() && !printer.Add(text, *record)) return kFailed;
    }
  }
  for (const auto& [seq, intent] : open) {
    if (!printer.Add(intent.first, intent.second)) return kFailed;
  }
  return End(printer, "every intent has an end, and no token is unknown or withheld");
}

}  // namespace tokend::client
