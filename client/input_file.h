#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/audit/log_store.h"
#include "daemon/base/result.h"

namespace tokend::client {

// A file or pipe that is read from its beginning to its end, and opened once. Its first bytes tell whether it
// is compressed with gzip or zstd: then it is unpacked. Errors are INVALID_ARGUMENT and name the file. One
// thread at a time.
class InputFile final : public audit::ReadFile {
 public:
  // Opens a regular file or a pipe. Other kinds of files, such as devices, are refused.
  static Result<std::unique_ptr<InputFile>> Open(const std::string& path);
  ~InputFile() override;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  Result<std::size_t> Read(char* buffer, std::size_t size) override;

  // Goes back to the beginning. Returns false where this is a pipe, which stays where it is.
  bool Rewind();

  const std::string& path() const { return path_; }
  bool pipe() const { return pipe_; }
  // Two files with the same identity are one file under two names.
  std::pair<dev_t, ino_t> identity() const { return identity_; }
  // The compression that the first bytes name and that cannot be unpacked, such as "xz"; or nothing.
  std::string_view foreign_compression() const { return foreign_; }
  // In bytes, as they are on the disk: the size when the file was opened (0 for a pipe), and what was read.
  std::uint64_t size() const { return size_; }
  std::uint64_t read() const { return read_; }

 private:
  class Plain;
  InputFile(std::string path, int file) : path_(std::move(path)), file_(file) {}
  Result<std::size_t> ReadPlain(char* buffer, std::size_t size);
  Status Begin();

  std::string path_;
  int file_;
  bool pipe_ = false;
  std::pair<dev_t, ino_t> identity_;
  std::uint64_t size_ = 0;
  std::uint64_t read_ = 0;
  std::string_view foreign_;
  std::string begin_;                          // the first bytes, where they are not handed out yet
  std::unique_ptr<audit::ReadFile> contents_;  // null: nothing was read since the beginning
};

}  // namespace tokend::client
