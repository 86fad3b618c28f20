#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace tokend::audit {

// The mtime of a file, by the wall clock.
using FileTime = std::chrono::sys_time<std::chrono::microseconds>;

// A file that is appended to.
class AppendFile {
 public:
  virtual ~AppendFile() = default;

  // Appends the first bytes of `bytes`, at least one, and returns how many.
  virtual Result<std::size_t> Write(std::string_view bytes) = 0;

  // What was written is on the device once this returns OK. After an error it may be there or not.
  virtual Status Sync() = 0;
};

Status WriteAll(AppendFile& file, std::string_view bytes);

// A file that is read from its beginning to its end.
class ReadFile {
 public:
  virtual ~ReadFile() = default;

  // Reads into the buffer and returns how many bytes: 0 at the end of the file.
  virtual Result<std::size_t> Read(char* buffer, std::size_t size) = 0;
};

// The folder of a log. File names are relative to it. One thread at a time.
class LogStore {
 public:
  virtual ~LogStore() = default;

  // Makes this process the log's only writer, or fails. Each further call checks that this still holds.
  virtual Status Lock() = 0;

  // A short text in the lock file, which outlives the process and the log's own files. "" at first. The text
  // is on the device once WriteLockFile returns OK. After Lock.
  virtual Result<std::string> ReadLockFile() = 0;
  virtual Status WriteLockFile(std::string_view text) = 0;

  virtual Result<std::vector<std::string>> List() = 0;
  virtual Result<std::unique_ptr<ReadFile>> Read(const std::string& name) = 0;

  // Creates a file. Fails where the name exists.
  virtual Result<std::unique_ptr<AppendFile>> Create(const std::string& name) = 0;
  // Opens an existing file for appending.
  virtual Result<std::unique_ptr<AppendFile>> Open(const std::string& name) = 0;

  // Replaces the file `to`, if it exists. NOT_FOUND where `from` does not exist.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // NOT_FOUND where the file does not exist.
  virtual Status Remove(const std::string& name) = 0;
  // Creations, renames and removals are on the device once this returns OK.
  virtual Status SyncFolder() = 0;

  struct Info {
    std::uint64_t size = 0;
    FileTime modified{};
  };
  virtual Result<Info> Stat(const std::string& name) = 0;
  virtual Status SetModified(const std::string& name, FileTime time) = 0;

  // Whether `name` is the name of this file, which this store has opened.
  virtual bool Names(const std::string& name, const AppendFile& file) = 0;
  // The file's size in bytes, or nothing where the system does not tell.
  virtual std::optional<std::uint64_t> Size(const AppendFile& file) = 0;
};

// Opens a folder of the file system. Its Lock is flock(2) on the file `<name>.lock`, which rotations leave
// alone; if another process removes that file, the next Lock makes it again, with its text. The log's open
// file is locked too, so removing the lock file does not admit a second writer. Both locks end with the
// process. Files have mode 0640; the umask does not change that.
Result<std::unique_ptr<LogStore>> OpenFolder(const std::string& folder, const std::string& name);

}  // namespace tokend::audit
