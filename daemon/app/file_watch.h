#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace tokend::app {

// Sees when one of some files becomes another: written to, replaced, or reached by another symbolic link, as
// when Kubernetes swaps a mounted secret. The folders are watched (inotify(7)), and what the files then are
// decides: a false alarm is none, and a change that the kernel did not tell of is found when somebody asks.
// One thread.
class FileWatch {
 public:
  FileWatch();
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // From here on these, as they now are.
  void Watch(const std::vector<std::string>& files);

  // Readable when something may have changed; -1 where the kernel has no inotify to spare.
  int descriptor() const { return inotify_; }

  // Whether one has changed since Watch. Makes the descriptor unreadable until the next event.
  bool Changed();

 private:
  // What a path leads to: device, inode, size, time of change. Zeros: nothing.
  using State = std::tuple<dev_t, ino_t, off_t, std::int64_t, std::int64_t>;

  static State StateOf(const std::string& file);
  void WatchFolders();
  void AddFolder(const std::string& folder, std::set<int>& wanted);

  int inotify_;
  std::map<std::string, State> files_;
  std::set<int> watches_;
};

}  // namespace tokend::app
