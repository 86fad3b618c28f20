#include "client/log_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <tuple>
#include <utility>

namespace tokend::client {
namespace {

constexpr std::size_t kPackedBuffer = std::size_t{64} * 1024;

Status Unreadable(const std::string& path) {
  return absl::InvalidArgumentError(path + ": cannot be read: " + std::generic_category().message(errno));
}

Status Broken(const std::string& path) {
  return absl::InvalidArgumentError(path + ": the compressed data is damaged, or the file is cut off");
}

class PlainFile final : public audit::ReadFile {
 public:
  PlainFile(std::string path, int file) : path_(std::move(path)), file_(file) {}
  ~PlainFile() override { close(file_); }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;

  Result<std::size_t> Read(char* buffer, std::size_t size) override {
    while (true) {
      const ssize_t got = read(file_, buffer, size);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return Unreadable(path_);
    }
  }

  const std::string& path() const { return path_; }
  void Rewind() const { lseek(file_, 0, SEEK_SET); }

 private:
  std::string path_;
  int file_;
};

// Reads gzip, also with several members.
class GzipFile final : public audit::ReadFile {
 public:
  explicit GzipFile(std::unique_ptr<PlainFile> packed) : packed_(std::move(packed)) {
    constexpr int kGzip = 16 + MAX_WBITS;
    ready_ = inflateInit2(&stream_, kGzip) == Z_OK;
  }
  ~GzipFile() override { inflateEnd(&stream_); }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;

  Result<std::size_t> Read(char* buffer, std::size_t size) override {
    if (!ready_) return Broken(packed_->path());
    stream_.next_out = reinterpret_cast<Bytef*>(buffer);
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out == size) {
      if (stream_.avail_in == 0) {
        Result<std::size_t> got = packed_->Read(in_.data(), in_.size());
        if (!got.ok()) return got;
        if (*got == 0) return within_ ? Result<std::size_t>(Broken(packed_->path())) : 0;
        stream_.next_in = reinterpret_cast<Bytef*>(in_.data());
        stream_.avail_in = static_cast<uInt>(*got);
      }
      within_ = true;
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        within_ = false;
        inflateReset(&stream_);
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return Broken(packed_->path());
      }
    }
    return size - stream_.avail_out;
  }

 private:
  std::unique_ptr<PlainFile> packed_;
  std::array<char, kPackedBuffer> in_;
  z_stream stream_{};
  bool ready_ = false;
  bool within_ = false;  // in the middle of a member
};

class ZstdFile final : public audit::ReadFile {
 public:
  explicit ZstdFile(std::unique_ptr<PlainFile> packed) : packed_(std::move(packed)) {}

  Result<std::size_t> Read(char* buffer, std::size_t size) override {
    ZSTD_outBuffer out{buffer, size, 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size) {
        Result<std::size_t> got = packed_->Read(bytes_.data(), bytes_.size());
        if (!got.ok()) return got;
        if (*got == 0) return within_ ? Result<std::size_t>(Broken(packed_->path())) : 0;
        in_ = {bytes_.data(), *got, 0};
      }
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &out, &in_);
      if (ZSTD_isError(left) != 0) return Broken(packed_->path());
      within_ = left != 0;
    }
    return out.pos;
  }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };
  std::unique_ptr<PlainFile> packed_;
  std::unique_ptr<ZSTD_DStream, Free> stream_{ZSTD_createDStream()};
  std::array<char, kPackedBuffer> bytes_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool within_ = false;  // in the middle of a frame
};

// Of two files with the same first sequence number, the one with more "-r" in its name is newer.
std::ptrdiff_t Retakes(const std::string& path) {
  std::ptrdiff_t retakes = 0;
  for (std::size_t at = path.find("-r"); at != std::string::npos; at = path.find("-r", at + 2)) ++retakes;
  return retakes;
}

// The sequence number of the file's first record; 0: the file has none.
Result<std::uint64_t> FirstSequence(const std::string& path) {
  const Result<std::unique_ptr<audit::ReadFile>> file = OpenLogFile(path);
  if (!file.ok()) return file.status();
  audit::LineReader lines(**file);
  audit::LineParser parser;
  while (true) {
    const auto line = lines.Next();
    if (!line.ok()) return line.status();
    if (!line->has_value()) return 0;
    if (const auto record = parser.Parse((*line)->text)) return record->seq();
  }
}

}  // namespace

Result<std::unique_ptr<audit::ReadFile>> OpenLogFile(const std::string& path) {
  const int opened = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) return Unreadable(path);
  auto file = std::make_unique<PlainFile>(path, opened);
  std::array<char, 4> magic{};
  const Result<std::size_t> got = file->Read(magic.data(), magic.size());
  if (!got.ok()) return got.status();
  file->Rewind();
  const std::string_view begin(magic.data(), *got);
  if (begin.starts_with("\x1f\x8b")) return std::make_unique<GzipFile>(std::move(file));
  if (begin == "\x28\xb5\x2f\xfd") return std::make_unique<ZstdFile>(std::move(file));
  return file;
}

Result<LogFiles> LogFiles::Open(const std::vector<std::string>& paths, Progress progress) {
  LogFiles log;
  log.progress_ = std::move(progress);
  for (const std::string& path : paths) {
    const Result<std::uint64_t> first = FirstSequence(path);
    if (!first.ok()) return first.status();
    struct stat status {};
    const bool sized = stat(path.c_str(), &status) == 0;
    log.files_.push_back({path, *first, std::numeric_limits<std::uint64_t>::max(),
                          sized ? static_cast<std::uint64_t>(status.st_size) : 0});
    log.total_ += log.files_.back().size;
  }
  std::sort(log.files_.begin(), log.files_.end(), [](const File& a, const File& b) {
    return std::tuple(a.first, Retakes(a.path), a.path) < std::tuple(b.first, Retakes(b.path), b.path);
  });
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
  for (auto file = log.files_.rbegin(); file != log.files_.rend(); ++file) {
    file->limit = limit;
    if (file->first != 0) limit = file->first;
  }
  return log;
}

Status LogFiles::OpenNext() {
  if (lines_) before_ += files_[current_ - 1].size;
  if (progress_) progress_(before_, total_);
  Result<std::unique_ptr<audit::ReadFile>> file = OpenLogFile(files_[current_].path);
  if (!file.ok()) return file.status();
  open_ = *std::move(file);
  lines_ = std::make_unique<audit::LineReader>(*open_);
  ++current_;
  return absl::OkStatus();
}

Result<std::optional<LogFiles::Line>> LogFiles::Next() {
  while (true) {
    if (!lines_) {
      if (current_ == files_.size()) return std::nullopt;
      if (Status opened = OpenNext(); !opened.ok()) return opened;
    }
    const auto line = lines_->Next();
    if (!line.ok()) return line.status();
    if (!line->has_value()) {
      if (current_ == files_.size()) {
        lines_.reset();
        if (progress_) progress_(total_, total_);
        return std::nullopt;
      }
      if (Status opened = OpenNext(); !opened.ok()) return opened;
      continue;
    }
    const auto& [text, whole] = **line;
    const File& file = files_[current_ - 1];
    std::optional<audit::v1::Record> record = whole ? parser_->Parse(text) : std::nullopt;
    // Skips lines that a later file repeats, and lines that a fault left unreadable before them.
    const bool superseded = file.limit != std::numeric_limits<std::uint64_t>::max() &&
                            (!record ? last_ + 1 >= file.limit : record->seq() >= file.limit);
    if (superseded) continue;
    if (record) last_ = record->seq();
    return Line{text, std::move(record), &file.path};
  }
}

}  // namespace tokend::client
