#include "tests/unit/audit/fake_disk.h"

#include <algorithm>
#include <utility>

namespace tokend::audit {
namespace {

using State = FakeDisk::State;
using Node = FakeDisk::Node;
using Operation = FakeDisk::Operation;

class FakeAppendFile final : public AppendFile {
 public:
  FakeAppendFile(std::shared_ptr<State> state, std::shared_ptr<Node> node)
      : state_(std::move(state)), node_(std::move(node)) {}

  Result<std::size_t> Write(std::string_view bytes) override {
    const std::lock_guard lock(state_->mutex);
    if (state_->dead) return absl::InternalError("dead");
    if (state_->faults && state_->faults(Operation::kWrite)) {
      node_->bytes += bytes.substr(0, bytes.size() / 2);
      return absl::InternalError("write failed");
    }
    std::size_t taken = std::min(bytes.size(), state_->longest_write);
    if (state_->space) {
      if (*state_->space == 0) return absl::ResourceExhaustedError("No space left on device");
      taken = std::min(taken, *state_->space);
      *state_->space -= taken;
    }
    node_->bytes += bytes.substr(0, taken);
    return taken;
  }

  Status Sync() override {
    const std::lock_guard lock(state_->mutex);
    ++state_->syncs;
    if (Status status = state_->Check(Operation::kSync); !status.ok()) {
      node_->lost = true;
      return status;
    }
    if (!node_->lost) node_->synced = node_->bytes.size();
    return absl::OkStatus();
  }

  const std::shared_ptr<Node>& node() const { return node_; }

 private:
  std::shared_ptr<State> state_;
  std::shared_ptr<Node> node_;
};

class FakeReadFile final : public ReadFile {
 public:
  explicit FakeReadFile(std::string bytes) : bytes_(std::move(bytes)) {}

  Result<std::size_t> Read(char* buffer, std::size_t size) override {
    const std::size_t taken = bytes_.copy(buffer, std::min<std::size_t>(size, 1000), position_);
    position_ += taken;
    return taken;
  }

 private:
  std::string bytes_;
  std::size_t position_ = 0;
};

class FakeLogStore final : public LogStore {
 public:
  explicit FakeLogStore(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~FakeLogStore() override {
    const std::lock_guard lock(state_->mutex);
    if (holds_lock_) state_->locked = false;
  }

  Status Lock() override {
    const std::lock_guard lock(state_->mutex);
    if (!holds_lock_ && state_->locked) return absl::FailedPreconditionError("locked");
    holds_lock_ = state_->locked = true;
    return absl::OkStatus();
  }

  Result<std::string> ReadLockFile() override {
    const std::lock_guard lock(state_->mutex);
    return state_->note;
  }

  Status WriteLockFile(std::string_view text) override {
    const std::lock_guard lock(state_->mutex);
    if (Status status = state_->Check(Operation::kNote); !status.ok()) return status;
    state_->note = text;
    return absl::OkStatus();
  }

  Result<std::vector<std::string>> List() override {
    const std::lock_guard lock(state_->mutex);
    if (Status status = state_->Check(Operation::kList); !status.ok()) return status;
    std::vector<std::string> names;
    for (const auto& [name, node] : state_->folder) names.push_back(name);
    return names;
  }

  Result<std::unique_ptr<ReadFile>> Read(const std::string& name) override {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->folder.find(name);
    if (found == state_->folder.end()) return absl::NotFoundError(name);
    return std::make_unique<FakeReadFile>(found->second->bytes);
  }

  Result<std::unique_ptr<AppendFile>> Create(const std::string& name) override {
    const std::lock_guard lock(state_->mutex);
    if (Status status = state_->Check(Operation::kCreate); !status.ok()) return status;
    const auto [entry, created] = state_->folder.emplace(name, std::make_shared<Node>());
    if (!created) return absl::AlreadyExistsError(name);
    state_->Changed();
    return std::make_unique<FakeAppendFile>(state_, entry->second);
  }

  Result<std::unique_ptr<AppendFile>> Open(const std::string& name) override {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->folder.find(name);
    if (found == state_->folder.end()) return absl::NotFoundError(name);
    return std::make_unique<FakeAppendFile>(state_, found->second);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(state_->mutex);
    if (Status status = state_->Check(Operation::kRename); !status.ok()) return status;
    auto entry = state_->folder.extract(from);
    if (entry.empty()) return absl::NotFoundError(from);
    state_->folder[to] = std::move(entry.mapped());
    state_->Changed();
    return absl::OkStatus();
  }

  Status Remove(const std::string& name) override {
    const std::lock_guard lock(state_->mutex);
    if (Status status = state_->Check(Operation::kRemove); !status.ok()) return status;
    if (state_->folder.erase(name) == 0) return absl::NotFoundError(name);
    state_->Changed();
    return absl::OkStatus();
  }

  Status SyncFolder() override {
    const std::lock_guard lock(state_->mutex);
    if (Status status = state_->Check(Operation::kSyncFolder); !status.ok()) return status;
    state_->versions = {state_->folder};
    return absl::OkStatus();
  }

  Result<Info> Stat(const std::string& name) override {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->folder.find(name);
    if (found == state_->folder.end()) return absl::NotFoundError(name);
    return Info{found->second->bytes.size(), found->second->modified};
  }

  Status SetModified(const std::string& name, FileTime time) override {
    const std::lock_guard lock(state_->mutex);
    if (state_->dead) return absl::InternalError("dead");
    const auto found = state_->folder.find(name);
    if (found == state_->folder.end()) return absl::NotFoundError(name);
    found->second->modified = time;
    return absl::OkStatus();
  }

  bool Names(const std::string& name, const AppendFile& file) override {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->folder.find(name);
    return found != state_->folder.end() && found->second == static_cast<const FakeAppendFile&>(file).node();
  }

  std::optional<std::uint64_t> Size(const AppendFile& file) override {
    const std::lock_guard lock(state_->mutex);
    return static_cast<const FakeAppendFile&>(file).node()->bytes.size();
  }

 private:
  std::shared_ptr<State> state_;
  bool holds_lock_ = false;
};

}  // namespace

Status FakeDisk::State::Check(Operation operation) {
  if (dead) return absl::InternalError("dead");
  if (faults && faults(operation)) return absl::InternalError("fault");
  return absl::OkStatus();
}

std::unique_ptr<LogStore> FakeDisk::Mount() { return std::make_unique<FakeLogStore>(state_); }

void FakeDisk::SetFaults(Faults faults) {
  const std::lock_guard lock(state_->mutex);
  state_->faults = std::move(faults);
}

void FakeDisk::SetSpace(std::optional<std::size_t> bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->space = bytes;
}

void FakeDisk::SetLongestWrite(std::size_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->longest_write = bytes;
}

void FakeDisk::Kill() {
  const std::lock_guard lock(state_->mutex);
  state_->dead = true;
}

void FakeDisk::Crash(std::mt19937_64& random) {
  const std::lock_guard lock(state_->mutex);
  const auto up_to = [&random](std::size_t most) { return static_cast<std::size_t>(random() % (most + 1)); };
  state_->folder = state_->versions[up_to(state_->versions.size() - 1)];
  for (auto& [name, node] : state_->folder) {
    // Creates a new node. A file that still has the old node open writes to a file without a name.
    auto left = std::make_shared<Node>();
    left->bytes = node->bytes.substr(0, node->synced + up_to(node->bytes.size() - node->synced));
    left->synced = left->bytes.size();
    left->modified = node->modified;
    node = std::move(left);
  }
  state_->versions = {state_->folder};
  state_->faults = nullptr;
  state_->space.reset();
  state_->dead = false;
}

std::map<std::string, std::string> FakeDisk::Files() {
  const std::lock_guard lock(state_->mutex);
  std::map<std::string, std::string> files;
  for (const auto& [name, node] : state_->folder) files[name] = node->bytes;
  return files;
}

FileTime FakeDisk::ModifiedAt(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  return state_->folder.at(name)->modified;
}

void FakeDisk::SetModifiedAt(const std::string& name, FileTime time) {
  const std::lock_guard lock(state_->mutex);
  state_->folder.at(name)->modified = time;
}

void FakeDisk::Put(const std::string& name, std::string bytes) {
  const std::lock_guard lock(state_->mutex);
  auto node = std::make_shared<Node>();
  node->synced = bytes.size();
  node->bytes = std::move(bytes);
  state_->folder[name] = std::move(node);
  state_->versions = {state_->folder};
}

void FakeDisk::Erase(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  state_->folder.erase(name);
  state_->versions = {state_->folder};
}

std::string FakeDisk::Note() {
  const std::lock_guard lock(state_->mutex);
  return state_->note;
}

void FakeDisk::PutNote(std::string text) {
  const std::lock_guard lock(state_->mutex);
  state_->note = std::move(text);
}

void FakeDisk::Truncate(const std::string& name, std::size_t size) {
  const std::lock_guard lock(state_->mutex);
  Node& node = *state_->folder.at(name);
  node.bytes.resize(size);
  node.synced = size;
}

}  // namespace tokend::audit
