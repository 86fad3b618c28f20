#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace tokend::app {

// Notices when a file changes: it is written to, replaced, or reached by another symbolic link, as when
// Kubernetes swaps a mounted secret. Events of the folders (inotify(7)) say when to look, and the state of
// the files decides: an event without a change is ignored, and a change without an event is found by the next
// call of Changed. One thread.
class FileWatch {
 public:
  FileWatch();
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches these files from now on, and takes their present state for unchanged.
  void Watch(const std::vector<std::string>& files);

  // Readable when something may have changed; -1 where the kernel has no inotify to spare.
  int descriptor() const { return inotify_; }

  // Whether one has changed since Watch. Makes the descriptor unreadable until the next event.
  bool Changed();

 private:
  // Of the file at a path: device, inode, size, time of change. Zeros: there is no file.
  using State = std::tuple<dev_t, ino_t, off_t, std::int64_t, std::int64_t>;

  static State StateOf(const std::string& file);

  int inotify_;
  std::map<std::string, State> files_;
  std::set<int> watches_;
};

}  // namespace tokend::app
