#include "daemon/audit/hashed_lines.h"

#include <utility>

#include "daemon/base/sha256.h"
#include "daemon/base/thread.h"

namespace tokend::audit {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{128} * 1024;
constexpr std::size_t kBlockLines = 1024;
constexpr std::size_t kHashBytes = 64;
static_assert(kHashBytes >= simdjson::SIMDJSON_PADDING);  // a hash stands in for the padding of its line

}  // namespace

HashedLines::HashedLines(ReadFile& file) : reader_(file) {
  for (Block& block : blocks_) {
    block.bytes.reserve(kBlockBytes + kMaxLine + kHashBytes);
    block.lines.reserve(kBlockLines);
  }
  thread_ = StartThread("audit-read", [this] { ReadAhead(); });
}

HashedLines::~HashedLines() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

Result<std::optional<HashedLines::Line>> HashedLines::Next() {
  while (block_ == nullptr || line_ == block_->lines.size()) {
    if (block_ != nullptr && block_->last) {
      if (!block_->end.ok()) return block_->end;
      return std::nullopt;
    }
    TakeNextBlock();
  }
  const auto [size, whole] = block_->lines[line_++];
  const std::string_view rest = std::string_view(block_->bytes).substr(at_);
  at_ += size + kHashBytes;
  return Line{rest.substr(0, size), whole, rest.substr(size, kHashBytes)};
}

void HashedLines::TakeNextBlock() {
  std::unique_lock lock(mutex_);
  if (block_ != nullptr) ++used_;
  changed_.notify_one();
  changed_.wait(lock, [this] { return filled_ > used_; });
  block_ = &blocks_[used_ % blocks_.size()];
  line_ = at_ = 0;
}

void HashedLines::ReadAhead() {
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return is_stopping_ || filled_ - used_ < blocks_.size(); });
      if (is_stopping_) return;
    }
    Block& block = blocks_[filled_ % blocks_.size()];
    Fill(block);
    last = block.last;
    const std::lock_guard lock(mutex_);
    ++filled_;
    changed_.notify_one();
  }
}

void HashedLines::Fill(Block& block) {
  block.bytes.clear();
  block.lines.clear();
  while (block.bytes.size() < kBlockBytes && block.lines.size() < kBlockLines) {
    const Result<std::optional<LineReader::Line>> line = reader_.Next();
    block.last = !line.ok() || !line->has_value();
    if (block.last) {
      block.end = line.status();
      return;
    }
    const auto& [text, whole] = **line;
    block.lines.push_back({text.size(), whole});
    block.bytes.append(text).append(Sha256Hex(text));
  }
}

}  // namespace tokend::audit
