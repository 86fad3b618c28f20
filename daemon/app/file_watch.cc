#include "daemon/app/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <list>
#include <system_error>

namespace tokend::app {
namespace {

constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                  IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

// The kernel follows as many.
constexpr int kMaxLinks = 40;

// Every folder in which a changed entry makes the path lead elsewhere: the folder of each symbolic link on
// the path, and that of the file.
std::set<std::string> FoldersOf(const std::string& file) {
  namespace fs = std::filesystem;
  std::set<std::string> folders;
  std::error_code failed;
  fs::path folder = "/";
  const fs::path absolute = fs::absolute(file, failed);
  std::list<fs::path> rest(absolute.begin(), absolute.end());
  for (int links = 0; !rest.empty();) {
    const fs::path name = rest.front();
    rest.pop_front();
    if (name == "/") {
      folder = name;
      continue;
    }
    const fs::path entry = folder / name;
    if (rest.empty()) folders.insert(folder);
    if (!fs::is_symlink(entry, failed)) {
      folder = name == ".." ? folder.parent_path() : name == "." || name.empty() ? folder : entry;
      continue;
    }
    folders.insert(folder);
    if (++links > kMaxLinks) break;
    const fs::path target = fs::read_symlink(entry, failed);
    rest.insert(rest.begin(), target.begin(), target.end());
  }
  return folders;
}

}  // namespace

FileWatch::FileWatch() : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

FileWatch::~FileWatch() {
  if (inotify_ >= 0) close(inotify_);
}

FileWatch::State FileWatch::StateOf(const std::string& file) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino, status.st_size, status.st_ctim.tv_sec, status.st_ctim.tv_nsec};
}

void FileWatch::Watch(const std::vector<std::string>& files) {
  std::set<int> wanted;
  for (const std::string& file : files) {
    for (const std::string& folder : FoldersOf(file)) {
      const int watch = inotify_add_watch(inotify_, folder.c_str(), kEvents);
      if (watch >= 0) wanted.insert(watch);
    }
  }
  for (const int watch : watches_) {
    if (!wanted.contains(watch)) inotify_rm_watch(inotify_, watch);
  }
  watches_ = std::move(wanted);
  // After the folders are watched: a change in between gives an event.
  files_.clear();
  for (const std::string& file : files) files_.emplace(file, StateOf(file));
}

bool FileWatch::Changed() {
  std::array<char, 4096> events;
  while (inotify_ >= 0 && read(inotify_, events.data(), events.size()) > 0) {
  }
  return std::ranges::any_of(files_, [](const auto& file) { return StateOf(file.first) != file.second; });
}

}  // namespace tokend::app
