#include "daemon/audit/history.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "daemon/audit/events.h"
#include "daemon/audit/hashed_lines.h"
#include "daemon/audit/log_reader.h"

namespace tokend::audit {
namespace {

// A record that ends an intent.
struct Ending {
  Event::Token token = Event::Token::kNone;
  std::uint64_t sequence = 0;
};

// What one file holds.
struct FileReport {
  std::uint64_t first = 0;  // sequence number; 0: no line
  RecordTime latest{};
  RecordTime first_time{};
  std::string first_prev;
  Head last;
  std::uint64_t size = 0;
  std::string damage;
  bool started = false;  // holds a daemon.started
};

bool Continues(const Head& head, std::uint64_t sequence, std::string_view prev) {
  return sequence == head.sequence + 1 && prev == head.hash;
}

void CheckLink(const RecordView& record, FileReport& report) {
  if (report.first == 0 || !report.damage.empty()) return;
  if (Continues(report.last, record.seq, record.prev)) return;
  report.damage = "breaks the chain after seq " + std::to_string(report.last.sequence);
}

// Finds the last gap of a log. It hears of the files from the newest to the oldest, and of the lines of each
// file in their order.
class GapFinder {
 public:
  void BeginFile(const std::string& name) { name_ = name; }

  // Of each line, before what the line is.
  void OnLine() {
    if (std::exchange(unreadable_, false)) missing_ = name_ + " has an unreadable line that is not its last";
  }
  void OnUnreadable() { unreadable_ = true; }

  // Of a record that is part of the log. `before`: the file's record before it.
  void OnRecord(const RecordView& record, const Head& before) {
    if (missing_.empty() && before.sequence != 0 && !Continues(before, record.seq, record.prev)) {
      missing_ = name_ + " breaks the chain after seq " + std::to_string(before.sequence);
    }
    if (!missing_.empty()) within_ = Gap{record.time, std::exchange(missing_, {})};
  }

  void EndFile(const FileReport& report) {
    if (newer_ && missing_.empty() && report.first != 0 &&
        !Continues(report.last, newer_->first, newer_->first_prev)) {
      missing_ = newer_name_ + " does not continue " + name_;
    }
    if (!missing_.empty()) {
      Found({newer_ ? newer_->first_time : RecordTime::max(), std::exchange(missing_, {})});
    }
    if (within_) Found(*std::exchange(within_, std::nullopt));
    unreadable_ = false;
    if (report.first == 0) return;
    newer_ = report;
    newer_name_ = name_;
  }

  // After the oldest file.
  std::optional<Gap> Find() {
    if (newer_ && newer_->first != 1) {
      Found({newer_->first_time,
             newer_name_ + " is the first file, and begins at seq " + std::to_string(newer_->first)});
    }
    return std::move(gap_);
  }

 private:
  void Found(Gap gap) {
    if (!gap_) gap_ = std::move(gap);
  }

  std::string name_;
  bool unreadable_ = false;    // the line before was
  std::string missing_;        // what was found wrong since the last record
  std::optional<Gap> within_;  // the last gap in the file
  std::optional<FileReport> newer_;
  std::string newer_name_;
  std::optional<Gap> gap_;
};

// Reads the files from the newest to the oldest, each from its beginning: the end of an intent is in the
// intent's own file or in a newer one.
class HistoryReader {
 public:
  HistoryReader(LogStore& store, RecordTime since) : store_(store), since_(since) {}

  Result<FileReport> ReadOne(const std::string& name) {
    Result<std::unique_ptr<ReadFile>> file = store_.Read(name);
    if (!file.ok()) return file.status();
    HashedLines lines(**file);
    FileReport report;
    gaps_.BeginFile(name);
    while (true) {
      const Result<std::optional<HashedLines::Line>> line = lines.Next();
      if (!line.ok()) return line.status();
      if (!line->has_value()) break;
      const auto& [text, whole, hash] = **line;
      report.size += text.size() + (whole ? 1 : 0);
      gaps_.OnLine();
      const RecordView* const record = whole ? parser_.Parse(text) : nullptr;
      if (record == nullptr) {
        gaps_.OnUnreadable();
        if (report.damage.empty()) {
          report.damage = "has an unreadable line after seq " + std::to_string(report.last.sequence);
        }
        continue;
      }
      if (record->seq >= limit_) continue;
      CheckLink(*record, report);
      if (record->seq <= report.last.sequence) continue;
      gaps_.OnRecord(*record, report.last);
      if (report.first == 0) {
        report.first = record->seq;
        report.first_time = record->time;
        report.first_prev = record->prev;
      }
      report.latest = std::max(report.latest, record->time);
      report.last.sequence = record->seq;
      report.last.hash = hash;
      report.started = report.started || record->event == event::kDaemonStarted;
      Take(*record);
    }
    gaps_.EndFile(report);
    CloseFile(report);
    return report;
  }

  void MoveFindings(History& to) {
    to.gap = gaps_.Find();
    to.open_intents = std::move(open_);
    to.past = std::move(past_);
    to.recent = recent_;
    std::ranges::sort(to.open_intents, {}, &PastRequest::intent);
  }

 private:
  void Take(const RecordView& record) {
    if (record.time >= since_) recent_ = std::min(recent_, record.seq);
    const Event* const event = FindEvent(record.event);
    if (event == nullptr) return;
    if (event->role == Event::Role::kIntent) {
      running_.emplace(record.seq, MakePastRequest(record));
    } else if (event->role == Event::Role::kEnd) {
      const Ending ending{event->token, record.seq};
      const auto intent = running_.find(record.intent);
      if (intent == running_.end()) {
        endings_.emplace(record.intent, ending);
      } else {
        End(std::move(intent->second), ending);
        running_.erase(intent);
      }
    }
  }

  // Where no token was created, the ledger forgets the request.
  void End(PastRequest request, const Ending& ending) {
    if (ending.token == Event::Token::kNone || request.time < since_) return;
    request.ended_by = ending.sequence;
    past_.push_back(std::move(request));
  }

  void CloseFile(const FileReport& report) {
    assert(report.last.sequence < limit_);
    for (auto& [sequence, intent] : running_) {
      const auto ending = endings_.find(sequence);
      if (ending == endings_.end()) {
        open_.push_back(std::move(intent));
      } else {
        End(std::move(intent), ending->second);
        endings_.erase(ending);
      }
    }
    running_.clear();
    if (report.first != 0) limit_ = std::min(limit_, report.first);
  }

  LogStore& store_;
  const RecordTime since_;
  LineParser parser_;
  GapFinder gaps_;
  // The lowest sequence number of the files read so far. Lines of older files from there on are not part of
  // the log.
  std::uint64_t limit_ = std::numeric_limits<std::uint64_t>::max();
  // By the intent's number: intents of this file that have no end so far, and ends of intents in older files.
  absl::flat_hash_map<std::uint64_t, PastRequest> running_;
  absl::flat_hash_map<std::uint64_t, Ending> endings_;
  PastRequests open_;
  PastRequests past_;
  std::uint64_t recent_ = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace

Result<History> ReadHistory(LogStore& store, const LogNames& names, RecordTime since) {
  const Result<std::vector<std::string>> listed = store.List();
  if (!listed.ok()) return listed.status();
  std::vector<std::string> files;
  for (LogNames::Closed& closed : names.FindClosed(*listed)) files.push_back(std::move(closed.name));
  History history;
  history.open_exists = std::find(listed->begin(), listed->end(), names.open()) != listed->end();
  if (history.open_exists) files.push_back(names.open());
  history.replacing = std::find(listed->begin(), listed->end(), names.next()) != listed->end();

  HistoryReader reader(store, since);
  for (auto name = files.rbegin(); name != files.rend(); ++name) {
    const Result<FileReport> report = reader.ReadOne(*name);
    if (!report.ok()) return report.status();
    if (*name == names.open()) {
      history.open_first = report->first;
      history.open_size = report->size;
    }
    if (history.head.sequence == 0) {
      if (history.damage.empty() && !report->damage.empty()) history.damage = *name + " " + report->damage;
      history.head = report->last;
      history.latest = report->latest;
    }
    if (report->started && report->latest < since) break;
  }
  reader.MoveFindings(history);
  return history;
}

}  // namespace tokend::audit
