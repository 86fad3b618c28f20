#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/fakes/temporary_folder.h"

namespace tokend::client {

// An audit log as the daemon writes it, in the files audit-….jsonl and audit.jsonl of a temporary folder.
// Tokens are issued one after the other. Signed checkpoints come at intervals and as the last line. The keys
// are in the same folder.
class WrittenLog {
 public:
  struct Options {
    std::size_t records = 150;
    std::size_t files = 3;
    std::size_t checkpoint_every = 40;
  };

  explicit WrittenLog(const Options& options);

  std::string operator/(const std::string& name) const { return folder_ / name; }
  std::string public_key() const { return *this / "public.pem"; }
  std::string fingerprint_key() const { return *this / "fingerprint.key"; }
  static std::string BearerOf(std::size_t seq) { return "bearer-of-" + std::to_string(seq); }

  const std::vector<std::string>& files() const { return files_; }
  // All lines in order, without newlines. Empty for a log of more than 10,000 lines, to save memory.
  const std::vector<std::string>& lines() const { return lines_; }
  // "SEQ:PREV" of each checkpoint.
  const std::vector<std::string>& anchors() const { return anchors_; }
  std::string head() const;

  // Writes these lines to a file of this name in the folder, and returns its path.
  std::string Write(const std::string& name, const std::vector<std::string>& lines) const;
  std::string WriteOne(const std::vector<std::string>& lines) const { return Write("one.jsonl", lines); }

 private:
  fakes::TemporaryFolder folder_;
  std::vector<std::string> files_;
  std::vector<std::string> lines_;
  std::vector<std::string> anchors_;
};

}  // namespace tokend::client
