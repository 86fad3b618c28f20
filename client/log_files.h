#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/log_file.h"
#include "daemon/base/result.h"

namespace tokend::client {

// Reads files of audit logs, given in any order, log by log. Files may be of several logs, and copies of each
// other:
// - A file continues another one if its first record holds the hash of a line of that file: of the last line,
//   or of any line if it begins with audit.recovered. Later lines of the other file are then no part of the
//   log. All other files are logs of their own.
// - Lines that several files share are read once.
// - Where two files continue the same line differently (a fork), both are read: the second as a log of its
//   own, which begins behind that line.
// - A record with seq 1 begins a log, in the middle of a file too.
// Memory is constant for each file that is read at the same time. One thread at a time.
class LogFiles {
 public:
  // Called with the number of bytes that have been read, and of all files together, compressed as they are.
  using Progress = std::function<void(std::uint64_t read, std::uint64_t of)>;

  // Opens each file once. INVALID_ARGUMENT says which file cannot be read, or holds no record. A file without
  // a record is passed over only if an audit.recovered names it as set aside.
  static Result<LogFiles> Open(const std::vector<std::string>& paths, Progress progress = nullptr);

  // A record. The views and pointers are valid until the next call of Next; `file` is valid for as long as
  // the LogFiles.
  struct Line {
    std::string_view text;  // without the newline
    const audit::RecordView* record = nullptr;
    const std::string* file = nullptr;
    std::size_t log = 0;        // index in logs()
    std::uint64_t skipped = 0;  // lines that are no records, since the record before it
    std::uint64_t damaged = 0;  // those of them that look like damaged records
  };

  // Returns the next record, or nothing at the end. The records of a log come one after the other.
  Result<std::optional<Line>> Next();

  // Two files continue the line with the number `after` differently.
  struct Fork {
    std::uint64_t after = 0;
    std::string one;
    std::string other;
  };
  // Lines that look like damaged records, at the end of a file of the log or of a copy. No later record shows
  // what they were.
  struct DamagedEnd {
    std::string file;
    std::uint64_t after = 0;  // the number of the last record before them
    std::uint64_t lines = 0;
  };
  struct Log {
    std::vector<std::string> files;  // in order, without copies
    std::optional<Fork> fork;        // the first fork of the log
    bool branch = false;             // the log begins behind the fork
    std::optional<DamagedEnd> damaged_end = {};
  };
  // The logs that were begun so far.
  const std::vector<Log>& logs() const { return logs_; }

  // Sentences about copies, about lines that are no records, and about lines that are no part of a log.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  // Files with the same lines, whose current record begins a log that is read later.
  struct Parked {
    std::vector<LogFile*> group;
    std::optional<Fork> fork;
  };

  LogFiles() = default;
  Status Add(const std::string& path);
  Status ExplainFilesWithoutRecords();
  Status Move();
  Status AdvanceGroup();
  void KeepAlike(const std::vector<LogFile*>& files);
  Status FollowLinks();
  Status Follow(LogFile& file);
  void EndFile();
  Status BeginLog();
  std::vector<LogFile*> SiblingsOf(LogFile& file);
  Status FindNeighbours(const audit::RecordView& record, std::string_view text);
  Fork ForkTo(const LogFile& other);
  void Replace(LogFile& file, const LogFile& by);
  void NoteCopy(LogFile& file);
  void TakeEnd(const LogFile& file);
  void Close(LogFile& file);
  void TakeFromPending(const LogFile& file);
  void Report();

  std::vector<std::unique_ptr<LogFile>> files_;
  std::vector<Log> logs_;
  std::vector<std::string> notes_;
  Progress progress_;
  std::uint64_t total_ = 0;
  std::uint64_t lines_ = 0;

  // Files of which no record was read, by the number of their first record.
  std::multimap<std::uint64_t, LogFile*> pending_;
  std::map<const LogFile*, Fork> branches_;  // those of them that begin behind a fork
  std::vector<Parked> parked_;

  // The log that is read. Files of the group have the same lines; the first one stands for all.
  std::vector<LogFile*> group_;
  LogFile* ended_ = nullptr;     // the file that the group has read to its end
  std::vector<LogFile*> links_;  // files among pending_ that continue the last record
  std::uint64_t last_ = 0;       // the last record's number
  std::uint64_t carried_ = 0;    // lines that are no records at the end of the file before
};

// Names the log that a file belongs to by its path: "/log/audit.jsonl" for /log/audit.jsonl and for
// /log/audit-00000000000000000051.jsonl.gz. A daemon writes only one log under such a name.
std::string LogNameOf(const std::string& path);

}  // namespace tokend::client
