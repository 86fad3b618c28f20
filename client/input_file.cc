#include "client/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace tokend::client {
namespace {

constexpr std::size_t kPackedBuffer = std::size_t{64} * 1024;

struct Magic {
  std::string_view bytes;
  std::string_view name;
};
constexpr std::string_view kGzip = "\x1f\x8b";
constexpr std::string_view kZstd = "\x28\xb5\x2f\xfd";
constexpr std::array kForeign = {
    Magic{{"\xfd"
           "7zXZ\0",
           6},
          "xz"},
    Magic{"BZh", "bzip2"},
    Magic{{"\x04\x22\x4d\x18", 4}, "lz4"},
    Magic{{"PK\x03\x04", 4}, "zip"},
};
constexpr std::size_t kMagicBytes = 6;

Status Unreadable(const std::string& path) {
  return absl::InvalidArgumentError(path + ": cannot be read: " + std::generic_category().message(errno));
}

Status Broken(const std::string& path) {
  return absl::InvalidArgumentError(path + ": the compressed data is damaged, or the file is cut off");
}

// Reads gzip, also with several members.
class Gzip final : public audit::ReadFile {
 public:
  Gzip(std::unique_ptr<audit::ReadFile> packed, std::string path)
      : packed_(std::move(packed)), path_(std::move(path)) {
    constexpr int kGzipFormat = 16 + MAX_WBITS;
    ready_ = inflateInit2(&stream_, kGzipFormat) == Z_OK;
  }
  ~Gzip() override { inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  Result<std::size_t> Read(char* buffer, std::size_t size) override {
    if (!ready_) return Broken(path_);
    stream_.next_out = reinterpret_cast<Bytef*>(buffer);
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out == size) {
      if (stream_.avail_in == 0) {
        Result<std::size_t> got = packed_->Read(in_.data(), in_.size());
        if (!got.ok()) return got;
        if (*got == 0) return within_ ? Result<std::size_t>(Broken(path_)) : 0;
        stream_.next_in = reinterpret_cast<Bytef*>(in_.data());
        stream_.avail_in = static_cast<uInt>(*got);
      }
      within_ = true;
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        within_ = false;
        inflateReset(&stream_);
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return Broken(path_);
      }
    }
    return size - stream_.avail_out;
  }

 private:
  std::unique_ptr<audit::ReadFile> packed_;
  std::string path_;
  std::array<char, kPackedBuffer> in_;
  z_stream stream_{};
  bool ready_ = false;
  bool within_ = false;  // in the middle of a member
};

class Zstd final : public audit::ReadFile {
 public:
  Zstd(std::unique_ptr<audit::ReadFile> packed, std::string path)
      : packed_(std::move(packed)), path_(std::move(path)) {}

  Result<std::size_t> Read(char* buffer, std::size_t size) override {
    ZSTD_outBuffer out{buffer, size, 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size) {
        Result<std::size_t> got = packed_->Read(bytes_.data(), bytes_.size());
        if (!got.ok()) return got;
        if (*got == 0) return within_ ? Result<std::size_t>(Broken(path_)) : 0;
        in_ = {bytes_.data(), *got, 0};
      }
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &out, &in_);
      if (ZSTD_isError(left) != 0) return Broken(path_);
      within_ = left != 0;
    }
    return out.pos;
  }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };
  std::unique_ptr<audit::ReadFile> packed_;
  std::string path_;
  std::unique_ptr<ZSTD_DStream, Free> stream_{ZSTD_createDStream()};
  std::array<char, kPackedBuffer> bytes_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool within_ = false;  // in the middle of a frame
};

}  // namespace

// The file's bytes as they are.
class InputFile::Plain final : public audit::ReadFile {
 public:
  explicit Plain(InputFile& file) : file_(file) {}
  Result<std::size_t> Read(char* buffer, std::size_t size) override { return file_.ReadPlain(buffer, size); }

 private:
  InputFile& file_;
};

Result<std::unique_ptr<InputFile>> InputFile::Open(const std::string& path) {
  const int opened = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) return Unreadable(path);
  std::unique_ptr<InputFile> file(new InputFile(path, opened));
  struct stat status {};
  if (fstat(opened, &status) != 0) return Unreadable(path);
  if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)) {
    return absl::InvalidArgumentError(path + ": is neither a file nor a pipe");
  }
  file->pipe_ = S_ISFIFO(status.st_mode);
  file->identity_ = {status.st_dev, status.st_ino};
  file->size_ = static_cast<std::uint64_t>(status.st_size);
  return file;
}

InputFile::~InputFile() { close(file_); }

Result<std::size_t> InputFile::Read(char* buffer, std::size_t size) {
  if (contents_ == nullptr) {
    if (Status begun = Begin(); !begun.ok()) return begun;
  }
  return contents_->Read(buffer, size);
}

bool InputFile::Rewind() {
  if (pipe_ || lseek(file_, 0, SEEK_SET) != 0) return false;
  contents_.reset();
  begin_.clear();
  read_ = 0;
  return true;
}

Status InputFile::Begin() {
  std::array<char, kMagicBytes> bytes{};
  std::string begin;
  while (begin.size() < bytes.size()) {
    const Result<std::size_t> got = ReadPlain(bytes.data(), bytes.size() - begin.size());
    if (!got.ok()) return got.status();
    if (*got == 0) break;
    begin.append(bytes.data(), *got);
  }
  for (const Magic& magic : kForeign) {
    if (begin.starts_with(magic.bytes)) foreign_ = magic.name;
  }
  begin_ = begin;
  contents_ = std::make_unique<Plain>(*this);
  if (begin.starts_with(kGzip)) {
    contents_ = std::make_unique<Gzip>(std::move(contents_), path_);
  } else if (begin.starts_with(kZstd)) {
    contents_ = std::make_unique<Zstd>(std::move(contents_), path_);
  }
  return absl::OkStatus();
}

Result<std::size_t> InputFile::ReadPlain(char* buffer, std::size_t size) {
  if (!begin_.empty()) {
    const std::size_t count = std::min(size, begin_.size());
    std::memcpy(buffer, begin_.data(), count);
    begin_.erase(0, count);
    return count;
  }
  while (true) {
    const ssize_t got = ::read(file_, buffer, size);
    if (got >= 0) {
      read_ += static_cast<std::uint64_t>(got);
      return static_cast<std::size_t>(got);
    }
    if (errno != EINTR) return Unreadable(path_);
  }
}

}  // namespace tokend::client
