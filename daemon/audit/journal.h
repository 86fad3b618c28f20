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
#include "daemon/audit/log_names.h"
#include "daemon/audit/log_store.h"
#include "daemon/loop/event_loop.h"

namespace tokend::audit {

// Asked while a write waits: whether to give it up.
using GiveUp = absl::FunctionRef<bool()>;

// Makes the first line after a fault, newline included, from what was left behind, in the daemon's own words.
using MakeRecovered = absl::FunctionRef<std::string(std::string_view damage)>;

// Where lines become durable. One thread at a time.
class Journal {
 public:
  virtual ~Journal() = default;

  // Makes whole lines durable, newlines included, the first of which has the given sequence number. After an
  // error the lines may be there or not: Replace must succeed, with that number, before Append is called
  // again.
  virtual Status Append(std::string_view lines, std::uint64_t first_sequence, GiveUp give_up) = 0;

  // Whether Append of so many bytes would put them in a file of their own, and close the one before.
  virtual bool BeginsFile(std::size_t bytes) const = 0;

  // What may wait until those who wait are answered. Called between appends.
  virtual void Tidy() {}

  // Begins again, with a line that is durable once this returns OK: from `sequence` on, what was there before
  // does not count. After an error it may be called again.
  virtual Status Replace(MakeRecovered line, std::uint64_t sequence, GiveUp give_up) = 0;
};

// A folder's files: an open one, and closed ones beside it. A file of which a write or sync failed is never
// written again. Begins with one of Start, Continue and Distrust.
class FileJournal final : public Journal {
 public:
  // `keep` closed files stay, and each stays for at least `keep_for` after it was first seen closed.
  FileJournal(LogStore& store, LogNames names, std::uint64_t max_size, std::size_t keep,
              std::chrono::nanoseconds keep_for, const loop::Clock& clock);

  // Makes the open file, which is missing.
  Status Start(std::uint64_t first_sequence) { return Install({}, first_sequence); }

  // Goes on in the open file, which has `size` bytes of lines from `first_sequence` on.
  Status Continue(std::uint64_t first_sequence, std::uint64_t size);

  // Leaves the open file, if there is one, to Replace.
  void Distrust(std::string damage, std::uint64_t first_sequence, std::uint64_t size);

  Status Append(std::string_view lines, std::uint64_t first_sequence, GiveUp give_up) override;
  bool BeginsFile(std::size_t bytes) const override { return size_ > 0 && size_ + bytes > max_size_; }
  // Deletes surplus files.
  void Tidy() override;
  Status Replace(MakeRecovered line, std::uint64_t sequence, GiveUp give_up) override;

 private:
  Status Write(std::string_view lines, std::uint64_t first_sequence);
  Status Install(std::string_view line, std::uint64_t first_sequence);
  Status ChooseClosedName();
  void Prune();

  LogStore& store_;
  const LogNames names_;
  const std::uint64_t max_size_;
  const std::size_t keep_;
  const std::chrono::nanoseconds keep_for_;
  const loop::Clock& clock_;

  std::unique_ptr<AppendFile> file_;
  std::uint64_t first_sequence_ = 1;
  std::uint64_t size_ = 0;
  std::map<std::string, std::chrono::steady_clock::time_point> closed_since_;
  std::optional<std::chrono::steady_clock::time_point> prune_at_;

  // Of an open file that is being replaced: what is wrong with it, the name it gets ("" where it is gone or
  // none is chosen yet), and whether it is out of the way.
  std::string damage_;
  std::string closed_name_;
  bool out_of_the_way_ = false;
};

// Standard output, or what else a descriptor stands for: durable means that write(2) took every byte.
class StreamJournal final : public Journal {
 public:
  // Does not own the descriptor.
  explicit StreamJournal(int descriptor) : descriptor_(descriptor) {}

  Status Append(std::string_view lines, std::uint64_t first_sequence, GiveUp give_up) override;
  bool BeginsFile(std::size_t) const override { return false; }
  Status Replace(MakeRecovered line, std::uint64_t sequence, GiveUp give_up) override;

 private:
  int descriptor_;
  bool within_line_ = false;
};

}  // namespace tokend::audit
