#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/audit/log_store.h"

namespace tokend::audit {

// One folder on a device that fails where the test says so. A crash loses everything that was not synced.
// Data that a failed sync has lost stays lost, even if later syncs succeed, as on Linux. Thread-safe.
class FakeDisk {
 public:
  enum class Operation { kList, kCreate, kWrite, kSync, kRename, kRemove, kSyncFolder, kNote };

  // Called before each operation, with the disk locked. It says whether the operation fails. A sync or write
  // that fails may have done a part of its work.
  using Faults = std::function<bool(Operation)>;

  FakeDisk() : state_(std::make_shared<State>()) {}

  std::unique_ptr<LogStore> Mount();

  void SetFaults(Faults faults);
  // Lets writes fail after so many further bytes, as on a full device.
  void SetSpace(std::optional<std::size_t> bytes);
  // The greatest number of bytes that one write takes.
  void SetLongestWrite(std::size_t bytes);

  // From here on every operation fails and changes nothing, as if the process had ended.
  void Kill();
  // Leaves what a power cut leaves: of each file the synced bytes and a random beginning of the rest, and of
  // the folder the synced names and the first few changes since. Then the disk works again.
  void Crash(std::mt19937_64& random);

  std::map<std::string, std::string> Files();
  void Put(const std::string& name, std::string bytes);
  void Erase(const std::string& name);
  FileTime ModifiedAt(const std::string& name);
  void SetModifiedAt(const std::string& name, FileTime time);
  // Does what another process may do to a file that is open.
  void Truncate(const std::string& name, std::size_t size);
  // The text in the lock file.
  std::string Note();
  void PutNote(std::string text);
  std::size_t syncs() const { return state_->syncs; }

  struct Node {
    std::string bytes;
    std::size_t synced = 0;
    bool lost = false;  // a sync has failed, so no further data of the file becomes durable
    FileTime modified{};
  };
  using Folder = std::map<std::string, std::shared_ptr<Node>>;

  struct State {
    std::mutex mutex;
    Folder folder;
    std::vector<Folder> versions{
        Folder()};  // first the synced state of the folder, then the state after each change since
    Faults faults;
    std::string note;  // durable at once
    std::optional<std::size_t> space;
    std::size_t longest_write = SIZE_MAX;
    std::atomic<std::size_t> syncs = 0;
    bool dead = false;
    bool locked = false;

    Status Check(Operation operation);
    void Changed() { versions.push_back(folder); }
  };

 private:
  std::shared_ptr<State> state_;
};

}  // namespace tokend::audit
