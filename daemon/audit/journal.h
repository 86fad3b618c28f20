#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "daemon/audit/config_files.h"
#include "daemon/audit/log_names.h"
#include "daemon/audit/log_note.h"
#include "daemon/audit/log_store.h"
#include "daemon/loop/event_loop.h"

namespace tokend::audit {

// A write that waits calls this to learn whether it must give up.
using GiveUp = absl::FunctionRef<bool()>;

// Makes the first line after a fault, newline included. `damage` describes the fault in the daemon's own
// words.
using MakeRecovered = absl::FunctionRef<std::string(std::string_view damage)>;

// Makes lines durable. One thread at a time.
class Journal {
 public:
  virtual ~Journal() = default;

  // Makes whole lines durable, newlines included. The first line has the given sequence number. After an
  // error it is not known how many of the lines were written: before the next Append, Replace must succeed
  // with that number.
  virtual Status Append(std::string_view lines, std::uint64_t first_sequence, GiveUp give_up) = 0;

  // Whether Append of so many bytes would close the open file and write them to a new one.
  virtual bool BeginsFile(std::size_t bytes) const = 0;

  // Does the work that can wait until the callers are answered. Called between appends.
  virtual void Tidy() {}

  // Makes the text of a configuration durable beside the log, where there is a place for it.
  virtual Status KeepConfig(const std::string& /*fingerprint*/, const std::string& /*text*/) {
    return absl::OkStatus();
  }
  // From now on records name this configuration, which KeepConfig has kept.
  virtual void UseConfig(const std::string& /*fingerprint*/, std::string&& /*text*/) {}

  // Called after the last append.
  virtual void Close() {}

  // Begins anew with one line, which is durable once this returns OK. Lines written before that have the
  // number `sequence` or a higher one are no longer part of the log. After an error it may be called again.
  virtual Status Replace(MakeRecovered line, std::uint64_t sequence, GiveUp give_up) = 0;
};

// Writes to files in one folder: an open file, and closed files beside it. A file is never written again once
// a write or sync of it has failed. Call Start, Continue or Distrust first.
class FileJournal final : public Journal {
 public:
  // Keeps the newest `keep` closed files, and any other for at least `keep_for` after it was first seen
  // closed.
  FileJournal(LogStore& store, LogNames names, std::uint64_t max_size, std::size_t keep,
              std::chrono::nanoseconds keep_for, const loop::Clock& clock);

  // Writes this note to the lock file as soon as a line is durable.
  void NoteFirstLine(LogNote note) { note_ = note; }

  // Creates the open file, which does not exist yet.
  Status Start(std::uint64_t first_sequence) { return Install({}, first_sequence); }

  // Appends to the open file, which has `size` bytes, in lines from `first_sequence` on.
  Status Continue(std::uint64_t first_sequence, std::uint64_t size);

  // Says that the open file must not be written to. Replace then sets it aside, if it exists.
  void Distrust(std::string damage, std::uint64_t first_sequence, std::uint64_t size);

  Status Append(std::string_view lines, std::uint64_t first_sequence, GiveUp give_up) override;
  bool BeginsFile(std::size_t bytes) const override { return size_ > 0 && size_ + bytes > max_size_; }
  // Deletes closed files and configurations that need not be kept.
  void Tidy() override;
  Status KeepConfig(const std::string& fingerprint, const std::string& text) override;
  void UseConfig(const std::string& fingerprint, std::string&& text) override;
  void Close() override { configs_.MarkInForce(); }
  Status Replace(MakeRecovered line, std::uint64_t sequence, GiveUp give_up) override;

 private:
  Status Write(std::string_view lines, std::uint64_t first_sequence);
  Status Install(std::string_view line, std::uint64_t first_sequence);
  Status ChooseClosedName();
  void BeginFile();
  Status WriteNote();
  void Prune();
  void PruneConfigs(const std::string& oldest);

  LogStore& store_;
  const LogNames names_;
  const std::uint64_t max_size_;
  const std::size_t keep_;
  const std::chrono::nanoseconds keep_for_;
  const loop::Clock& clock_;

  std::optional<LogNote> note_;  // to be written
  std::unique_ptr<AppendFile> file_;
  std::uint64_t first_sequence_ = 1;
  std::uint64_t size_ = 0;
  std::map<std::string, std::chrono::steady_clock::time_point> closed_since_;
  std::optional<std::chrono::steady_clock::time_point> prune_at_;
  bool began_file_ = false;  // and the configurations in force are not marked since
  ConfigFiles configs_;

  // While the open file is being replaced:
  std::string damage_;           // what is wrong with it, in the daemon's own words
  std::string closed_name_;      // its new name; "": the file is gone, or no name is chosen yet
  bool out_of_the_way_ = false;  // it has its new name, or holds no line
};

// Writes to standard output or another descriptor. Lines are durable once write(2) has taken every byte.
class StreamJournal final : public Journal {
 public:
  // Does not own the descriptor.
  explicit StreamJournal(int descriptor) : descriptor_(descriptor) {}

  Status Append(std::string_view lines, std::uint64_t first_sequence, GiveUp give_up) override;
  bool BeginsFile(std::size_t) const override { return false; }
  Status Replace(MakeRecovered line, std::uint64_t sequence, GiveUp give_up) override;

 private:
  int descriptor_;
  bool within_line_ = false;  // the last write ended in the middle of a line
};

}  // namespace tokend::audit
