#include "daemon/rpc/connection_limit.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

namespace tokend::rpc {
namespace {

constexpr std::size_t kMaxConnectionsPerListener = 4096;

// The inode of an open descriptor, 0 if it is none.
ino_t Inode(int fd) {
  struct stat found {};
  return fstat(fd, &found) == 0 ? found.st_ino : 0;
}

}  // namespace

bool ConnectionLimit::Admit(int fd) {
  if (open_.size() >= max_) {
    ForgetClosed();
    if (open_.size() >= max_) return false;
  }
  open_.push_back({fd, Inode(fd)});
  return true;
}

bool ConnectionLimit::AnyOpen() {
  ForgetClosed();
  return !open_.empty();
}

void ConnectionLimit::ForgetClosed() {
  std::erase_if(open_, [](const Connection& each) { return Inode(each.fd) != each.socket; });
}

std::size_t MaxConnections(std::size_t listeners) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) {
    return kMaxConnectionsPerListener;
  }
  return std::clamp<std::size_t>(files.rlim_cur / 2 / listeners, 1, kMaxConnectionsPerListener);
}

}  // namespace tokend::rpc
