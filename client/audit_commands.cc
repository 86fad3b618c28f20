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
#include "client/commands.h"
#include "client/exit.h"
#include "client/log_files.h"
#include "client/table.h"
#include "daemon/audit/audit_log.h"
#include "daemon/audit/fingerprint.h"
#include "daemon/audit/record_line.h"
#include "daemon/base/form.h"

namespace tokend::client {
namespace {

using audit::v1::Record;

// Intents that are open at a time: the daemon has at most some ten thousand under way.
constexpr std::size_t kMaxOpenIntents = 1'000'000;
constexpr std::size_t kMaxBearerBytes = 128;
constexpr std::uint64_t kProgressBytes = std::uint64_t{64} << 20U;

struct AuditArguments {
  std::vector<std::string> files;
  std::string public_key;
  std::string anchor;
  std::string token;
  std::string fingerprint_key;
  std::string request_id;
  std::string caller;
  std::string event;
  std::string since;
  std::string until;
};

int Fail(const Status& status) {
  PrintError(std::string(status.message()) + "\n");
  return kUsage;
}
int Fail(const std::string& message) {
  PrintError(message + "\n");
  return kUsage;
}

// How far it is, on a terminal, where the files are long.
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
  std::string json = "{\"records\":" + std::to_string(found.records) +
                     ",\"first\":" + std::to_string(found.first) + ",\"last\":" + std::to_string(found.last) +
                     ",\"head\":" + JsonQuote(found.head) +
                     ",\"signed_checkpoints\":" + std::to_string(found.checkpoints) +
                     ",\"intact\":" + (found.broken ? "false" : "true");
  if (found.broken) {
    json += ",\"seq\":" + std::to_string(found.broken->seq) + ",\"what\":" + JsonQuote(found.broken->what) +
            ",\"detail\":" + JsonQuote(found.broken->detail);
  }
  return json + "}\n";
}

int RunVerify(const AuditArguments& arguments, OutputForm form) {
  VerifyOptions options;
  options.public_key_file = arguments.public_key;
  if (!arguments.anchor.empty()) {
    const std::size_t colon = arguments.anchor.find(':');
    std::uint64_t seq = 0;
    const std::string prev = colon == std::string::npos ? "" : arguments.anchor.substr(colon + 1);
    if (!absl::SimpleAtoi(arguments.anchor.substr(0, colon), &seq) || seq == 0 || prev.size() != 64 ||
        prev.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return Fail("--anchor: SEQ:PREV of a checkpoint, PREV being 64 hex digits");
    }
    options.anchor = {seq, prev};
  }
  Result<LogFiles> log = LogFiles::Open(arguments.files, ProgressOnTerminal());
  if (!log.ok()) return Fail(log.status());
  const Result<Verified> found = Verify(*log, options);
  if (!found.ok()) return Fail(found.status());
  if (found->records == 0 && !found->broken) {
    PrintError("the files hold no record\n");
    return kNothingFound;
  }
  if (!Print(form == OutputForm::kJson ? Json(*found) : Text(*found))) return kFailed;
  return found->broken ? kVerificationFailed : kDone;
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

// Prints records as they come: tables in pieces, so that memory stays flat.
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

int End(RecordPrinter& printer, const std::string& none) {
  if (!printer.Flush()) return kFailed;
  if (printer.count() > 0) return kDone;
  PrintError(none + "\n");
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

// The bearer on standard input, alone on its line.
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

// A misspelt one would find nothing, and that would be taken for an answer.
Status CheckEvent(const std::string& event) {
  namespace known = audit::event;
  static constexpr std::array kEvents{known::kDaemonStarted,  known::kDaemonStopped,
                                      known::kConfigReloaded, known::kConfigRejected,
                                      known::kKeyReloaded,    known::kKeyRejected,
                                      known::kCheckpoint,     known::kAuditRecovered,
                                      known::kRequestInvalid, known::kRequestUnauthenticated,
                                      known::kRequestDenied,  known::kRequestLimited,
                                      known::kRequestFailed,  known::kRequestValidated,
                                      known::kTokenIntended,  known::kTokenIssued,
                                      known::kTokenRefused,   known::kTokenWithheld,
                                      known::kTokenUnknown,   known::kTokenReplayed};
  std::string list;
  for (const char* one : kEvents) {
    if (event == one) return absl::OkStatus();
    list += (list.empty() ? "" : ", ") + std::string(one);
  }
  return absl::InvalidArgumentError("--event: one of " + list);
}

Result<Filter> MakeFilter(const AuditArguments& asked) {
  Filter filter;
  if (!asked.request_id.empty()) {
    std::optional<std::string> request_id = ParseUuid(asked.request_id);
    if (!request_id) return absl::InvalidArgumentError("--request-id: a UUID, 8-4-4-4-12 hex digits");
    filter.request_id = *std::move(request_id);
  }
  if (!asked.event.empty()) {
    if (Status known = CheckEvent(asked.event); !known.ok()) return known;
  }
  if (!asked.token.empty()) {
    if (asked.token != "-")
      return absl::InvalidArgumentError("--token: only -, so that no token stands in a process list");
    if (asked.fingerprint_key.empty())
      return absl::InvalidArgumentError("--token - needs --fingerprint-key FILE");
    Result<std::string> fingerprint = FingerprintOfInput(asked.fingerprint_key);
    if (!fingerprint.ok()) return fingerprint.status();
    filter.fingerprint = *std::move(fingerprint);
  }
  if (!asked.since.empty() && !(filter.since = ParseMoment(asked.since))) {
    return absl::InvalidArgumentError("--since: a time such as 2026-01-31T08:00:00Z");
  }
  if (!asked.until.empty() && !(filter.until = ParseMoment(asked.until))) {
    return absl::InvalidArgumentError("--until: a time such as 2026-01-31T08:00:00Z");
  }
  return filter;
}

int RunFind(const AuditArguments& arguments, OutputForm form) {
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

bool EndsIntent(const std::string& event) {
  return event == audit::event::kTokenIssued || event == audit::event::kTokenRefused ||
         event == audit::event::kTokenWithheld || event == audit::event::kTokenUnknown;
}

int RunUnresolved(const AuditArguments& arguments, OutputForm form) {
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
    if (record->event() == audit::event::kTokenIntended) {
      if (open.size() >= kMaxOpenIntents)
        return Fail("more than a million intents are open: is this one log?");
      open.emplace(record->seq(), std::pair(std::string(text), *record));
    } else if (EndsIntent(record->event())) {
      open.erase(record->intent());
      const bool unresolved =
          record->event() == audit::event::kTokenWithheld || record->event() == audit::event::kTokenUnknown;
      if (unresolved && !printer.Add(text, *record)) return kFailed;
    }
  }
  for (const auto& [seq, intent] : open) {
    if (!printer.Add(intent.first, intent.second)) return kFailed;
  }
  return End(printer, "every intent has an end, and no token is unknown or withheld");
}

void AddFiles(CLI::App& command, AuditArguments& arguments) {
  command.add_option("FILE", arguments.files, "files of one log, in any order, .gz and .zst too")->required();
}

}  // namespace

void AddAuditCommands(CLI::App& app, OfflineCommand& command) {
  const auto arguments = std::make_shared<AuditArguments>();
  CLI::App* group = app.add_subcommand("audit", "read an audit log, offline");
  group->require_subcommand(1);

  CLI::App* verify =
      group->add_subcommand("verify", "walk the chain; exit 8 and the first break where it is broken");
  AddFiles(*verify, *arguments);
  verify->add_option("--public-key", arguments->public_key, "Ed25519, PEM: checkpoints must be signed by it");
  verify->add_option("--anchor", arguments->anchor, "SEQ:PREV of a checkpoint, as kept elsewhere");
  verify->callback([arguments, &command] {
    command = [arguments](OutputForm form) { return RunVerify(*arguments, form); };
  });

  CLI::App* find =
      group->add_subcommand("find", "records that match all of the options; exit 9 where none does");
  AddFiles(*find, *arguments);
  find->add_option("--token", arguments->token, "-: whose is the token on standard input?");
  find->add_option("--fingerprint-key", arguments->fingerprint_key,
                   "the daemon's audit.fingerprint_key_file");
  find->add_option("--request-id", arguments->request_id, "UUID");
  find->add_option("--caller", arguments->caller, "the caller's whole name");
  find->add_option("--event", arguments->event, "token.issued and so on");
  find->add_option("--since", arguments->since, "RFC 3339: not before");
  find->add_option("--until", arguments->until, "RFC 3339: before");
  find->callback([arguments, &command] {
    command = [arguments](OutputForm form) { return RunFind(*arguments, form); };
  });

  CLI::App* unresolved = group->add_subcommand(
      "unresolved",
      "tokens to look for in the Applivery dashboard: unknown, withheld, or without an end; exit 9: none");
  AddFiles(*unresolved, *arguments);
  unresolved->callback([arguments, &command] {
    command = [arguments](OutputForm form) { return RunUnresolved(*arguments, form); };
  });
}

}  // namespace tokend::client
