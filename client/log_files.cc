#include "client/log_files.h"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "daemon/audit/events.h"
#include "daemon/base/sha256.h"

namespace tokend::client {
namespace {

constexpr std::uint64_t kLinesBetweenReports = 65'536;
constexpr rlim_t kOtherDescriptors = 64;
constexpr std::string_view kLockFile = ".lock";
constexpr std::uint64_t kMaxLockFile = 4096;

// Every file stays open until it is read, so that a rotation in between changes nothing.
void AllowOpenFiles(std::size_t count) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= count + kOtherDescriptors) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string WithoutCompression(std::string name) {
  for (const std::string_view ending : {".gz", ".zst"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  return name;
}

bool BeginsBefore(const LogFile& one, const LogFile& other) { return one.first()->seq < other.first()->seq; }

std::string Lines(std::uint64_t count, std::uint64_t first) {
  return count == 1
             ? "line " + std::to_string(first) + " is no record"
             : std::to_string(count) + " lines are no records, the first is line " + std::to_string(first);
}

}  // namespace

std::string LogNameOf(const std::string& path) {
  const std::filesystem::path whole = std::filesystem::path(path).lexically_normal();
  const std::string name = WithoutCompression(whole.filename());
  const std::size_t dot = std::min(name.rfind('.'), name.size());
  std::string stem = name.substr(0, dot);
  std::string_view rest = stem;
  while (rest.ends_with("-r")) rest.remove_suffix(2);
  constexpr std::size_t kDigits = 20;
  if (rest.size() > kDigits && rest[rest.size() - kDigits - 1] == '-' &&
      rest.find_first_not_of("0123456789", rest.size() - kDigits) == std::string_view::npos) {
    stem.resize(rest.size() - kDigits - 1);
  }
  return whole.parent_path() / (stem + name.substr(dot));
}

Result<LogFiles> LogFiles::Open(const std::vector<std::string>& paths, Progress progress) {
  AllowOpenFiles(paths.size());
  LogFiles log;
  log.progress_ = std::move(progress);
  std::map<std::pair<dev_t, ino_t>, std::string> opened;
  for (const std::string& path : paths) {
    Result<std::unique_ptr<InputFile>> input = InputFile::Open(path);
    if (!input.ok()) return input.status();
    const auto [known, is_new] = opened.emplace((*input)->identity(), path);
    if (is_new) {
      Result<std::unique_ptr<LogFile>> file = LogFile::Begin(*std::move(input));
      if (!file.ok()) return file.status();
      log.total_ += (*file)->size();
      log.files_.push_back(*std::move(file));
    } else if ((*input)->pipe()) {
      return absl::InvalidArgumentError(path + ": is a pipe, which can be read only once");
    } else {
      log.notes_.push_back(path + " is the same file as " + known->second + "; it counts once");
    }
  }
  if (Status explained = log.ExplainFilesWithoutRecords(); !explained.ok()) return explained;
  // A longer file comes first, since it may hold the other's lines behind a log of its own.
  std::stable_sort(log.files_.begin(), log.files_.end(),
                   [](const auto& a, const auto& b) { return a->size() > b->size(); });
  for (const std::unique_ptr<LogFile>& file : log.files_) {
    if (file->first()) log.pending_.emplace(file->first()->seq, file.get());
  }
  return log;
}

// After a fault a file may be left with no more than half a line. The audit.recovered that follows names it.
// The lock file, which has a short text, is beside the log, and patterns such as audit.jsonl* also match it.
Status LogFiles::ExplainFilesWithoutRecords() {
  const bool any = std::any_of(files_.begin(), files_.end(), [](const auto& file) { return file->first(); });
  for (const std::unique_ptr<LogFile>& file : files_) {
    if (file->first()) continue;
    const std::string name = WithoutCompression(std::filesystem::path(file->path()).filename());
    if (any && name.ends_with(kLockFile) && file->size() <= kMaxLockFile) {
      notes_.push_back(file->path() + " is a lock file, and holds no record");
      file->Close();
      continue;
    }
    const auto by = std::find_if(files_.begin(), files_.end(), [&](const std::unique_ptr<LogFile>& other) {
      return other->first() && other->first()->recovered &&
             other->first()->detail.find(name) != std::string::npos;
    });
    if (by == files_.end()) return absl::InvalidArgumentError(file->path() + ": " + file->Instead());
    notes_.push_back(file->path() + " holds no record, as the audit.recovered in " + (*by)->path() +
                     " explains");
    file->Close();
  }
  return absl::OkStatus();
}

Result<std::optional<LogFiles::Line>> LogFiles::Next() {
  if (progress_ && lines_++ % kLinesBetweenReports == 0) Report();
  if (Status moved = Move(); !moved.ok()) return moved;
  if (group_.empty()) {
    if (progress_) progress_(total_, total_);
    return std::nullopt;
  }
  LogFile& file = *group_.front();
  const std::uint64_t skipped = file.skipped() + std::exchange(carried_, 0);
  if (Status found = FindNeighbours(file.record(), file.text()); !found.ok()) return found;
  last_ = file.record().seq;
  return Line{file.text(), &file.record(), &file.path(), logs_.size() - 1, skipped, file.damaged()};
}

// Goes to the next record of the log, or to the first one of the next log.
Status LogFiles::Move() {
  if (!group_.empty()) {
    if (Status advanced = AdvanceGroup(); !advanced.ok()) return advanced;
    if (!group_.empty() && group_.front()->record().seq == 1) {
      // One line may have been cut off, by the crash after which the other log begins.
      if (group_.front()->damaged() > 1) TakeEnd(*group_.front());
      parked_.push_back({std::exchange(group_, {}), std::nullopt});
    }
    if (!links_.empty()) {
      if (Status followed = FollowLinks(); !followed.ok()) return followed;
    }
    if (ended_ != nullptr) EndFile();
  }
  return group_.empty() ? BeginLog() : absl::OkStatus();
}

// Advances all files of the group. A file that ends while another goes on is a copy of a part.
Status LogFiles::AdvanceGroup() {
  if (group_.size() == 1) {
    const Result<bool> more = group_.front()->Advance();
    if (!more.ok()) return more.status();
    if (!*more) ended_ = std::exchange(group_, {}).front();
    return absl::OkStatus();
  }
  std::vector<LogFile*> going;
  std::vector<LogFile*> ended;
  for (LogFile* file : group_) {
    const Result<bool> more = file->Advance();
    if (!more.ok()) return more.status();
    (*more ? going : ended).push_back(file);
  }
  if (going.empty()) {
    ended_ = ended.front();
    ended.erase(ended.begin());
  } else if (going.front() != group_.front()) {
    if (!BeginsBefore(*group_.front(), *going.front())) logs_.back().files.pop_back();
    logs_.back().files.push_back(going.front()->path());
  }
  group_ = going.empty() ? std::vector<LogFile*>{ended_} : going;
  for (LogFile* file : ended) NoteCopy(*file);
  if (going.empty()) {
    group_.clear();
  } else {
    KeepAlike(going);
  }
  return absl::OkStatus();
}

// Keeps those files in the group whose current line is that of the first one. Of the others, those with the
// same line stay together.
void LogFiles::KeepAlike(const std::vector<LogFile*>& files) {
  std::vector<std::vector<LogFile*>> groups;
  for (LogFile* file : files) {
    const auto alike = std::find_if(groups.begin(), groups.end(), [file](const auto& group) {
      return group.front()->text() == file->text();
    });
    if (alike == groups.end()) {
      groups.push_back({file});
    } else {
      alike->push_back(file);
    }
  }
  group_ = std::move(groups.front());
  for (auto group = groups.begin() + 1; group != groups.end(); ++group) {
    const Fork fork = ForkTo(*group->front());
    parked_.push_back({std::move(*group), fork});
  }
}

// All files in links_, and the group where it goes on, continue the same line. What begins with
// audit.recovered replaces the others.
Status LogFiles::FollowLinks() {
  const std::vector<LogFile*> links = std::exchange(links_, {});
  const auto recovered =
      std::find_if(links.begin(), links.end(), [](const LogFile* link) { return link->first()->recovered; });
  LogFile* heir = group_.empty() ? links.front() : nullptr;
  bool replaces = !group_.empty() && group_.front()->record().event == audit::event::kAuditRecovered;
  if (!replaces && recovered != links.end()) {
    heir = *recovered;
    replaces = true;
    if (ended_ != nullptr) ended_->ForgetSkipped();
    for (LogFile* file : group_) Replace(*file, *heir);
  }
  if (heir != nullptr) {
    if (Status followed = Follow(*heir); !followed.ok()) return followed;
  }
  const std::string hash = heir != nullptr ? heir->first()->hash : Sha256Hex(group_.front()->text());
  for (LogFile* link : links) {
    if (link->first()->hash == hash) continue;  // the heir, or a copy, which joins it at this line
    if (replaces && !link->first()->recovered) {
      TakeFromPending(*link);
      Replace(*link, *group_.front());
    } else {
      branches_.emplace(link, ForkTo(*link));
    }
  }
  return absl::OkStatus();
}

// Makes the file's first record the current one.
Status LogFiles::Follow(LogFile& file) {
  TakeFromPending(file);
  logs_.back().files.push_back(file.path());
  group_ = {&file};
  return file.Advance().status();
}

// Closes the file whose last record was the last one of the group.
void LogFiles::EndFile() {
  if (group_.empty()) {
    TakeEnd(*ended_);
  } else {
    carried_ = ended_->skipped();
  }
  if (ended_->half_line()) notes_.push_back(ended_->path() + " ends in half a line, which is not read");
  Close(*std::exchange(ended_, nullptr));
}

Status LogFiles::BeginLog() {
  if (!parked_.empty()) {
    Parked next = std::move(parked_.back());
    parked_.pop_back();
    group_ = std::move(next.group);
    const bool branch = next.fork.has_value();
    logs_.push_back({{group_.front()->path()}, std::move(next.fork), branch});
    return absl::OkStatus();
  }
  if (pending_.empty()) return absl::OkStatus();
  LogFile& first = *pending_.begin()->second;
  const auto fork = branches_.find(&first);
  const bool branch = fork != branches_.end();
  logs_.push_back({{}, branch ? std::optional(fork->second) : std::nullopt, branch});
  last_ = first.first()->seq - 1;
  links_ = SiblingsOf(first);
  return FollowLinks();
}

// The files that continue the same line as this one. The first line of a log continues none: there only the
// audit.recovered of the same log makes a sibling.
std::vector<LogFile*> LogFiles::SiblingsOf(LogFile& file) {
  std::vector<LogFile*> siblings = {&file};
  const auto [begin, end] = pending_.equal_range(file.first()->seq);
  for (auto entry = begin; entry != end; ++entry) {
    LogFile* const other = entry->second;
    if (other == &file || other->first()->prev != file.first()->prev) continue;
    const bool same_log = file.first()->seq > 1 || (other->first()->recovered != file.first()->recovered &&
                                                    LogNameOf(other->path()) == LogNameOf(file.path()));
    if (same_log && !branches_.contains(other)) siblings.push_back(other);
  }
  return siblings;
}

// Finds the files that begin with this record, and those that continue it.
Status LogFiles::FindNeighbours(const audit::RecordView& record, std::string_view text) {
  const auto same = pending_.equal_range(record.seq);
  const auto next = pending_.equal_range(record.seq + 1);
  if (same.first == same.second && next.first == next.second) return absl::OkStatus();
  const std::string hash = Sha256Hex(text);
  for (auto entry = next.first; entry != next.second; ++entry) {
    if (entry->second->first()->prev == hash) links_.push_back(entry->second);
  }
  for (auto entry = same.first; entry != same.second;) {
    LogFile& file = *entry->second;
    if (file.first()->hash != hash) {
      ++entry;
      continue;
    }
    entry = pending_.erase(entry);
    group_.push_back(&file);
    if (const Result<bool> advanced = file.Advance(); !advanced.ok()) return advanced.status();
  }
  return absl::OkStatus();
}

LogFiles::Fork LogFiles::ForkTo(const LogFile& other) {
  Fork fork{last_, group_.front()->path(), other.path()};
  if (!logs_.back().fork) logs_.back().fork = fork;
  notes_.push_back(fork.one + " and " + fork.other + " go on differently after seq " + std::to_string(last_) +
                   "; both are read");
  return fork;
}

void LogFiles::Replace(LogFile& file, const LogFile& by) {
  notes_.push_back(by.path() + " begins again at seq " + std::to_string(last_ + 1) +
                   " with audit.recovered; the lines of " + file.path() +
                   " from there on are no part of the log");
  file.ForgetSkipped();
  Close(file);
}

void LogFiles::NoteCopy(LogFile& file) {
  TakeEnd(file);
  const LogFile& other = *group_.front();
  notes_.push_back(file.path() +
                   (BeginsBefore(file, other) ? " has lines in common with " : " repeats lines of ") +
                   other.path() + " up to seq " + std::to_string(last_) + "; they count once");
  Close(file);
}

void LogFiles::TakeEnd(const LogFile& file) {
  if (file.damaged() == 0 || logs_.back().damaged_end) return;
  logs_.back().damaged_end = {file.path(), last_, file.damaged() + (file.half_line() ? 1 : 0)};
}

void LogFiles::Close(LogFile& file) {
  if (file.unreadable() > 0) {
    notes_.push_back(file.path() + ": " + Lines(file.unreadable(), file.first_unreadable_line()));
  }
  file.Close();
}

void LogFiles::TakeFromPending(const LogFile& file) {
  std::erase_if(pending_, [&file](const auto& entry) { return entry.second == &file; });
}

void LogFiles::Report() {
  std::uint64_t read = 0;
  for (const std::unique_ptr<LogFile>& file : files_) read += file->read();
  progress_(std::min(read, total_), total_);
}

}  // namespace tokend::client
