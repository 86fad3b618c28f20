#include "daemon/audit/journal.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

#include "daemon/audit/log_reader.h"
#include "daemon/audit/record_line.h"
#include "daemon/audit/stream.h"
#include "daemon/base/failpoint.h"

namespace tokend::audit {
namespace {

// The time between two attempts to delete closed files.
constexpr std::chrono::seconds kPruneInterval{1};

Status UnlessMissing(const Status& status) { return absl::IsNotFound(status) ? absl::OkStatus() : status; }

}  // namespace

FileJournal::FileJournal(LogStore& store, LogNames names, std::uint64_t max_size, std::size_t keep,
                         std::chrono::nanoseconds keep_for, const loop::Clock& clock)
    : store_(store),
      names_(std::move(names)),
      max_size_(max_size),
      keep_(keep),
      keep_for_(keep_for),
      clock_(clock),
      configs_(store, names_.open() + ".config.new", keep_for, clock) {}

Status FileJournal::Continue(std::uint64_t first_sequence, std::uint64_t size) {
  Result<std::unique_ptr<AppendFile>> file = store_.Open(names_.open());
  if (!file.ok()) return file.status();
  // The process that wrote the last lines may have ended before it synced them.
  if (Status synced = (*file)->Sync(); !synced.ok()) return synced;
  if (Status synced = store_.SyncFolder(); !synced.ok()) return synced;
  file_ = *std::move(file);
  first_sequence_ = first_sequence;
  size_ = size;
  BeginFile();
  return absl::OkStatus();
}

void FileJournal::BeginFile() {
  began_file_ = true;
  prune_at_ = clock_.Now();
}

void FileJournal::Distrust(std::string damage, std::uint64_t first_sequence, std::uint64_t size) {
  damage_ = std::move(damage);
  first_sequence_ = first_sequence;
  out_of_the_way_ = size == 0;
}

Status FileJournal::Append(std::string_view lines, std::uint64_t first_sequence, GiveUp) {
  Status status = Write(lines, first_sequence);
  if (!status.ok() && damage_.empty()) damage_ = "writing " + names_.open() + " failed";
  return status;
}

// A configuration is marked once the new file has its first records: then the file does not begin after the
// configuration was last in force.
void FileJournal::Tidy() {
  if (std::exchange(began_file_, false)) configs_.MarkInForce();
  if (prune_at_ && *prune_at_ <= clock_.Now()) Prune();
}

Status FileJournal::KeepConfig(const std::string& fingerprint, const std::string& text) {
  return configs_.Keep(fingerprint, text);
}

void FileJournal::UseConfig(const std::string& fingerprint, std::string&& text) {
  configs_.Use(fingerprint, std::move(text));
  prune_at_ = clock_.Now();  // there is one more
}

Status FileJournal::Write(std::string_view lines, std::uint64_t first_sequence) {
  assert(file_ != nullptr && lines.ends_with('\n'));
  if (BeginsFile(lines.size())) {
    if (Status chosen = ChooseClosedName(); !chosen.ok()) return chosen;
    if (Status rotated = Install({}, first_sequence); !rotated.ok()) return rotated;
  }
  TOKEND_FAILPOINT("write", lines);
  TOKEND_FAILPOINT_AFTER("write.half", lines,
                         WriteAll(*file_, lines.substr(0, lines.size() / 2)).IgnoreError());
  if (Status written = WriteAll(*file_, lines); !written.ok()) return written;
  TOKEND_FAILPOINT("written", lines);
  if (Status synced = file_->Sync(); !synced.ok()) return synced;
  TOKEND_FAILPOINT("synced", lines);
  // A file that was removed or renamed still takes writes, but no reader would find them.
  if (!store_.Names(names_.open(), *file_)) {
    damage_ = names_.open() + " was removed or replaced";
    return absl::NotFoundError("the audit log's file was removed or replaced");
  }
  size_ += lines.size();
  // Another process has removed lines that were durable, or added lines of its own.
  if (store_.Size(*file_) != size_) {
    damage_ = names_.open() + " was truncated, or written by another process";
    return absl::DataLossError("the audit log's file was truncated, or written by another process");
  }
  return WriteNote();
}

Status FileJournal::WriteNote() {
  if (!note_) return absl::OkStatus();
  Status written = audit::WriteNote(store_, *note_);
  if (written.ok()) note_.reset();
  return written;
}

Status FileJournal::Replace(MakeRecovered line, std::uint64_t sequence, GiveUp) {
  if (Status chosen = ChooseClosedName(); !chosen.ok()) return chosen;
  std::string detail = damage_;
  if (!closed_name_.empty()) detail += "; set aside as " + closed_name_;
  if (Status kept = configs_.KeepInForce(); !kept.ok()) return kept;
  return Install(line(detail), sequence);
}

Status FileJournal::ChooseClosedName() {
  if (!closed_name_.empty() || out_of_the_way_) return absl::OkStatus();
  const Result<std::vector<std::string>> names = store_.List();
  if (!names.ok()) return names.status();
  const bool exists = std::find(names->begin(), names->end(), names_.open()) != names->end();
  if (exists) closed_name_ = names_.CloseAs(first_sequence_, *names);
  return absl::OkStatus();
}

// The new file gets its final name once it is complete. Until then no reader opens it, so an attempt that
// fails halfway changes nothing, and may be repeated.
Status FileJournal::Install(std::string_view line, std::uint64_t first_sequence) {
  // After a fault the new file begins with a line. Without a line this is a rotation or the log's first file.
  [[maybe_unused]] const std::string_view subject =
      !line.empty() ? line : std::string_view(closed_name_.empty() ? "first" : "rotation");
  TOKEND_FAILPOINT("install", subject);
  if (Status locked = store_.Lock(); !locked.ok()) return locked;
  if (Status removed = UnlessMissing(store_.Remove(names_.next())); !removed.ok()) return removed;
  Result<std::unique_ptr<AppendFile>> file = store_.Create(names_.next());
  if (!file.ok()) return file.status();
  TOKEND_FAILPOINT("install.created", subject);
  if (!line.empty()) {
    if (Status written = WriteAll(**file, line); !written.ok()) return written;
    TOKEND_FAILPOINT("install.written", subject);
    if (Status synced = (*file)->Sync(); !synced.ok()) return synced;
  }
  if (!closed_name_.empty() && !out_of_the_way_) {
    if (Status renamed = UnlessMissing(store_.Rename(names_.open(), closed_name_)); !renamed.ok())
      return renamed;
  }
  TOKEND_FAILPOINT("install.closed", subject);
  out_of_the_way_ = true;
  if (Status renamed = store_.Rename(names_.next(), names_.open()); !renamed.ok()) return renamed;
  TOKEND_FAILPOINT("install.renamed", subject);
  if (Status synced = store_.SyncFolder(); !synced.ok()) return synced;
  TOKEND_FAILPOINT("install.synced", subject);
  if (!line.empty()) {
    if (Status noted = WriteNote(); !noted.ok()) return noted;
  }

  file_ = *std::move(file);
  first_sequence_ = first_sequence;
  size_ = line.size();
  BeginFile();
  damage_.clear();
  closed_name_.clear();
  out_of_the_way_ = false;
  return absl::OkStatus();
}

void FileJournal::Prune() {
  const Result<std::vector<std::string>> names = store_.List();
  if (!names.ok()) return;
  const auto now = clock_.Now();
  std::map<std::string, std::chrono::steady_clock::time_point> closed_since;
  const std::vector<LogNames::Closed> closed = names_.FindClosed(*names);
  prune_at_.reset();
  std::string oldest = names_.open();
  for (std::size_t i = 0; i < closed.size(); ++i) {
    const std::string& name = closed[i].name;
    const auto known = closed_since_.find(name);
    const auto since = known != closed_since_.end() ? known->second : now;
    const bool surplus = i + keep_ < closed.size();
    if (surplus && since + keep_for_ <= now && store_.Remove(name).ok()) continue;
    if (closed_since.empty()) oldest = name;
    closed_since.emplace(name, since);
    if (surplus && !prune_at_) prune_at_ = std::max(since + keep_for_, now + kPruneInterval);
  }
  closed_since_ = std::move(closed_since);
  PruneConfigs(oldest);
}

// `oldest` is the log's oldest file.
void FileJournal::PruneConfigs(const std::string& oldest) {
  const Result<std::unique_ptr<ReadFile>> file = store_.Read(oldest);
  if (!file.ok()) return;
  LineReader lines(**file);
  const Result<std::optional<LineReader::Line>> line = lines.Next();
  if (!line.ok() || !line->has_value() || !(*line)->whole) return;
  LineParser parser;
  const RecordView* const record = parser.Parse((*line)->text);
  if (record != nullptr) configs_.Prune(record->time);
}

Status StreamJournal::Append(std::string_view lines, std::uint64_t, GiveUp give_up) {
  std::string_view rest = lines;
  Status status = WriteStream(descriptor_, rest, give_up);
  const std::size_t wrote = lines.size() - rest.size();
  if (wrote > 0) within_line_ = lines[wrote - 1] != '\n';
  return status;
}

Status StreamJournal::Replace(MakeRecovered line, std::uint64_t sequence, GiveUp give_up) {
  // A newline ends the line that was cut off. No reader takes that line for a record.
  return Append((within_line_ ? "\n" : "") + line("writing to standard output failed"), sequence, give_up);
}

}  // namespace tokend::audit
