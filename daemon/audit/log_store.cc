#include "daemon/audit/log_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "daemon/base/descriptor.h"

namespace tokend::audit {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr std::size_t kMaxLockText = 256;

// `path` is the log that the lock protects.
Status LockDescriptor(const Descriptor& file, const std::string& path) {
  if (flock(file.get(), LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno == EWOULDBLOCK) {
    return absl::FailedPreconditionError("another process is writing the audit log " + path);
  }
  return absl::ErrnoToStatus(errno, "the audit log cannot be locked");
}

bool SameFile(const Descriptor& file, const std::string& path) {
  struct stat open = {};
  struct stat named = {};
  return fstat(file.get(), &open) == 0 && lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

// Sets the mode, because the umask may have removed bits of it. A file system without modes ignores this.
void SetMode(const Descriptor& file) { static_cast<void>(fchmod(file.get(), kFileMode)); }

class PosixAppendFile final : public AppendFile {
 public:
  explicit PosixAppendFile(Descriptor file) : file_(std::move(file)) {}

  Result<std::size_t> Write(std::string_view bytes) override {
    while (true) {
      const ssize_t wrote = write(file_.get(), bytes.data(), bytes.size());
      if (wrote > 0) return static_cast<std::size_t>(wrote);
      if (wrote == 0) return absl::DataLossError("writing the audit log made no progress");
      if (errno != EINTR) return absl::ErrnoToStatus(errno, "writing the audit log failed");
    }
  }

  Status Sync() override {
    while (fdatasync(file_.get()) != 0) {
      if (errno != EINTR) return absl::ErrnoToStatus(errno, "syncing the audit log failed");
    }
    return absl::OkStatus();
  }

  const Descriptor& descriptor() const { return file_; }

 private:
  Descriptor file_;
};

class PosixReadFile final : public ReadFile {
 public:
  explicit PosixReadFile(Descriptor file) : file_(std::move(file)) {}

  Result<std::size_t> Read(char* buffer, std::size_t size) override {
    while (true) {
      const ssize_t got = read(file_.get(), buffer, size);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return absl::ErrnoToStatus(errno, "reading the audit log failed");
    }
  }

 private:
  Descriptor file_;
};

class PosixLogStore final : public LogStore {
 public:
  PosixLogStore(std::string folder, const std::string& name)
      : folder_(std::move(folder)), path_(Path(name)), lock_path_(path_ + ".lock") {}

  Status Lock() override {
    if (lock_ && SameFile(lock_, lock_path_)) return absl::OkStatus();
    Descriptor lock(open(lock_path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kFileMode));
    if (!lock) return absl::ErrnoToStatus(errno, "the audit log's lock file cannot be opened");
    if (Status locked = LockDescriptor(lock, path_); !locked.ok()) return locked;
    SetMode(lock);
    lock_ = std::move(lock);
    return lock_text_ ? WriteLockFile(*lock_text_) : absl::OkStatus();
  }

  Result<std::string> ReadLockFile() override {
    std::string text(kMaxLockText, '\0');
    const ssize_t got = pread(lock_.get(), text.data(), text.size(), 0);
    if (got < 0) return absl::ErrnoToStatus(errno, "the audit log's lock file cannot be read");
    text.resize(static_cast<std::size_t>(got));
    if (!text.empty()) lock_text_ = text;
    return text;
  }

  Status WriteLockFile(std::string_view text) override {
    // Short enough for one block of the device, so that a crash leaves the old text or the new one.
    const ssize_t wrote = pwrite(lock_.get(), text.data(), text.size(), 0);
    if (wrote != static_cast<ssize_t>(text.size()) ||
        ftruncate(lock_.get(), static_cast<off_t>(text.size())) != 0 || fsync(lock_.get()) != 0) {
      return absl::ErrnoToStatus(errno, "the audit log's lock file cannot be written");
    }
    lock_text_ = text;
    return SyncFolder();
  }

  Result<std::vector<std::string>> List() override {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator entry(folder_, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      names.push_back(entry->path().filename());
    }
    if (error) return absl::ErrnoToStatus(error.value(), "the audit log's folder cannot be read");
    return names;
  }

  Result<std::unique_ptr<ReadFile>> Read(const std::string& name) override {
    Descriptor file(open(Path(name).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return absl::ErrnoToStatus(errno, "the audit log cannot be opened for reading");
    return std::make_unique<PosixReadFile>(std::move(file));
  }

  Result<std::unique_ptr<AppendFile>> Create(const std::string& name) override {
    return OpenToAppend(name, O_CREAT | O_EXCL);
  }

  Result<std::unique_ptr<AppendFile>> Open(const std::string& name) override { return OpenToAppend(name, 0); }

  Status Rename(const std::string& from, const std::string& to) override {
    if (rename(Path(from).c_str(), Path(to).c_str()) == 0) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, "renaming a file of the audit log failed");
  }

  Status Remove(const std::string& name) override {
    if (unlink(Path(name).c_str()) == 0) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, "removing a file of the audit log failed");
  }

  Status SyncFolder() override {
    const Descriptor folder(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder && fsync(folder.get()) == 0) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, "syncing the audit log's folder failed");
  }

  Result<Info> Stat(const std::string& name) override {
    struct stat status = {};
    if (lstat(Path(name).c_str(), &status) != 0)
      return absl::ErrnoToStatus(errno, "a file beside the audit log cannot be looked at");
    const auto modified =
        std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec);
    return Info{static_cast<std::uint64_t>(status.st_size),
                FileTime(std::chrono::floor<FileTime::duration>(modified))};
  }

  Status SetModified(const std::string& name, FileTime time) override {
    const auto second = std::chrono::floor<std::chrono::seconds>(time);
    timespec modified = {};
    modified.tv_sec = second.time_since_epoch().count();
    modified.tv_nsec = std::chrono::nanoseconds(time - second).count();
    const timespec times[2] = {modified, modified};
    if (utimensat(AT_FDCWD, Path(name).c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, "the mtime of a file beside the audit log cannot be set");
  }

  bool Names(const std::string& name, const AppendFile& file) override {
    return SameFile(static_cast<const PosixAppendFile&>(file).descriptor(), Path(name));
  }

  std::optional<std::uint64_t> Size(const AppendFile& file) override {
    struct stat status = {};
    if (fstat(static_cast<const PosixAppendFile&>(file).descriptor().get(), &status) != 0)
      return std::nullopt;
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  Result<std::unique_ptr<AppendFile>> OpenToAppend(const std::string& name, int flags) const {
    // O_NONBLOCK, because opening a FIFO without it waits for a reader.
    const int all = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags;
    Descriptor file(open(Path(name).c_str(), all, kFileMode));
    if (!file) return absl::ErrnoToStatus(errno, "the audit log cannot be opened for writing");
    struct stat status = {};
    if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
      return absl::FailedPreconditionError("the audit log is not a regular file");
    }
    if (Status locked = LockDescriptor(file, Path(name)); !locked.ok()) return locked;
    if ((flags & O_CREAT) != 0) SetMode(file);
    return std::make_unique<PosixAppendFile>(std::move(file));
  }

  const std::string folder_;
  const std::string path_;
  const std::string lock_path_;
  Descriptor lock_;
  std::optional<std::string> lock_text_;  // as last read or written
};

}  // namespace

Status WriteAll(AppendFile& file, std::string_view bytes) {
  while (!bytes.empty()) {
    const Result<std::size_t> wrote = file.Write(bytes);
    if (!wrote.ok()) return wrote.status();
    bytes.remove_prefix(*wrote);
  }
  return absl::OkStatus();
}

Result<std::unique_ptr<LogStore>> OpenFolder(const std::string& folder, const std::string& name) {
  struct stat status = {};
  if (stat(folder.c_str(), &status) != 0) {
    return absl::ErrnoToStatus(errno,
                               folder + ", the folder of audit.file.path, cannot be opened; create it first");
  }
  if (!S_ISDIR(status.st_mode)) {
    return absl::FailedPreconditionError(folder + ", the folder of audit.file.path, is not a folder");
  }
  const std::string path = folder + "/" + name;
  if (stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return absl::FailedPreconditionError(path + " is a folder; audit.file.path names a file");
  }
  return std::make_unique<PosixLogStore>(folder, name);
}

}  // namespace tokend::audit
