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

// One folder on a device that fails as its test says, and that a crash takes everything from that was not
// synced. What was lost by a failed sync stays lost, though later syncs succeed, as on Linux. Thread-safe.
class FakeDisk {
 public:
  enum class Operation { kList, kCreate, kWrite, kSync, kRename, kRemove, kSyncFolder };

  // Asked before each operation, with the disk locked: whether it fails. A failing sync or write may have
  // done a part.
  using Faults = std::function<bool(Operation)>;

  FakeDisk() : state_(std::make_shared<State>()) {}

  std::unique_ptr<LogStore> Mount();

  void SetFaults(Faults faults);
  // Fails writes once so many bytes are written from now on, as a full device does.
  void SetSpace(std::optional<std::size_t> bytes);
  // The most that one write takes.
  void SetLongestWrite(std::size_t bytes);

  // From here on every operation fails and changes nothing: the process is as good as dead.
  void Kill();
  // What a power cut leaves: of each file what was synced and a beginning of the rest, of the folder what was
  // synced and a beginning of the changes since. The disk works again.
  void Crash(std::mt19937_64& random);

  std::map<std::string, std::string> Files();
  void Put(const std::string& name, std::string bytes);
  void Erase(const std::string& name);
  // As another process does it, to a file that is open.
  void Truncate(const std::string& name, std::size_t size);
  std::size_t syncs() const { return state_->syncs; }

  struct Node {
    std::string bytes;
    std::size_t synced = 0;
    bool lost = false;  // a sync failed: nothing more of it will ever be durable
  };
  using Folder = std::map<std::string, std::shared_ptr<Node>>;

  struct State {
    std::mutex mutex;
    Folder folder;
    std::vector<Folder> versions{
        Folder()};  // since the last sync of the folder, each change one; first: synced
    Faults faults;
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
