#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace tokend::audit {

// A file that grows at its end.
class AppendFile {
 public:
  virtual ~AppendFile() = default;

  // Appends a beginning of the bytes and says how many: more than none.
  virtual Result<std::size_t> Write(std::string_view bytes) = 0;

  // What was written is on the device once this returns. After an error nothing is known of it.
  virtual Status Sync() = 0;
};

// A file that is read from its beginning.
class ReadFile {
 public:
  virtual ~ReadFile() = default;

  // Fills a beginning of the buffer and says how much: none at the end.
  virtual Result<std::size_t> Read(char* buffer, std::size_t size) = 0;
};

// The folder that a log stands in. Names are names in it. One thread at a time.
class LogStore {
 public:
  virtual ~LogStore() = default;

  // Makes this process the log's only writer, or fails. Called again, makes sure that it still is.
  virtual Status Lock() = 0;

  virtual Result<std::vector<std::string>> List() = 0;
  virtual Result<std::unique_ptr<ReadFile>> Read(const std::string& name) = 0;

  // Creates a file, which must not exist.
  virtual Result<std::unique_ptr<AppendFile>> Create(const std::string& name) = 0;
  // Opens a file that exists, to append to it.
  virtual Result<std::unique_ptr<AppendFile>> Open(const std::string& name) = 0;

  // Replaces what `to` names. NOT_FOUND where there is no `from`.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // NOT_FOUND where there is no such file.
  virtual Status Remove(const std::string& name) = 0;
  // Creations, renames and removals are on the device once this returns.
  virtual Status SyncFolder() = 0;

  // Whether `name` names this file, which came from this store.
  virtual bool Names(const std::string& name, const AppendFile& file) = 0;
  // How many bytes the file has, as far as that can be told.
  virtual std::optional<std::uint64_t> Size(const AppendFile& file) = 0;
};

// A real folder. The writer's lock is flock(2) on a file of its own, `<name>.lock`, which no rotation
// renames; the log's open file is locked too, so that removing the lock file does not let a second writer in.
// Both go with the process. Files are made 0640.
Result<std::unique_ptr<LogStore>> OpenFolder(const std::string& folder, const std::string& name);

}  // namespace tokend::audit
