#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/fakes/temporary_folder.h"

namespace tokend::client {

// An audit log as the daemon writes it, in files of a folder that ends with its owner: audit-….jsonl and
// audit.jsonl, tokens minted one after the other, a signed checkpoint every so often and as the last line.
// Its keys are beside it.
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
  // All lines, in order, without their newlines; none of a log of more than 10,000, so that this stays small.
  const std::vector<std::string>& lines() const { return lines_; }
  // The checkpoints' "SEQ:PREV".
  const std::vector<std::string>& anchors() const { return anchors_; }
  std::string head() const;

  // A log of these lines alone, in one file; its path.
  std::string WriteOne(const std::vector<std::string>& lines) const;

 private:
  fakes::TemporaryFolder folder_;
  std::vector<std::string> files_;
  std::vector<std::string> lines_;
  std::vector<std::string> anchors_;
};

}  // namespace tokend::client
