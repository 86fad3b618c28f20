#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/audit/log_reader.h"
#include "daemon/audit/log_store.h"

namespace tokend::audit {

// Reads the lines of a file as LineReader does, and hashes them. It reads and hashes ahead, on a thread of
// its own, in constant memory. One thread at a time calls it.
class HashedLines {
 public:
  struct Line {
    std::string_view text;  // as in LineReader, also its padding
    bool whole = false;
    std::string_view hash;  // Sha256Hex of `text`
  };

  // `file` outlives this. Throws std::system_error if the system allows no further thread.
  explicit HashedLines(ReadFile& file);
  ~HashedLines();
  HashedLines(const HashedLines&) = delete;
  HashedLines& operator=(const HashedLines&) = delete;

  // Returns the next line, valid until the next call, or nothing at the end of the file.
  Result<std::optional<Line>> Next();

 private:
  struct Block {
    std::string bytes;  // of its lines, each followed by its hash
    struct Line {
      std::size_t size;
      bool whole;
    };
    std::vector<Line> lines;
    bool last = false;
    Status end = absl::OkStatus();  // of the last block: why reading ended
  };

  void ReadAhead();
  void Fill(Block& block);
  void TakeNextBlock();

  LineReader reader_;
  std::array<Block, 2> blocks_;  // they take turns: the thread fills one while the other is used
  const Block* block_ = nullptr;
  std::size_t line_ = 0;  // the next one of the block
  std::size_t at_ = 0;    // where its bytes begin

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t filled_ = 0;  // how many blocks were
  std::size_t used_ = 0;    // of these
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace tokend::audit
