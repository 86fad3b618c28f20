#include "daemon/rpc/listening_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <variant>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "daemon/config/address.h"

namespace tokend::rpc {
namespace {

// How often and how long to wait for another process that sets up a socket in the same folder.
constexpr int kLockAttempts = 20;
constexpr std::chrono::milliseconds kLockPause{50};

Status SystemError(const char* what, const std::string& address) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", address));
}

Descriptor OpenSocket() { return Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

std::string FolderOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<sockaddr_un> UnixName(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket path ", path,
                                                   " is too long; the system takes at most ",
                                                   sizeof(name.sun_path) - 1, " bytes"));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  return name;
}

// A lock that only one process can hold, so that two daemons that find the same stale socket do not both
// replace it. It is a lock on a file of its own with mode 0600: every user who can read the folder could lock
// the folder itself. Its holder removes the file in the end, so a lock counts only while the file still has
// its name.
class SetupLock {
 public:
  static Result<SetupLock> Acquire(const std::string& folder) {
    const std::string path = absl::StrCat(folder, "/.tokend.lock");
    for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
      // If other users can write to the folder, the name may be a FIFO, at which open would block, or a
      // symlink.
      Descriptor file(open(path.c_str(), O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
      if (file.get() < 0 && errno == ENOENT) {
        return absl::ErrnoToStatus(
            errno,
            absl::StrCat(folder, ", the folder of a listener's socket, does not exist; create it first"));
      }
      if (file.get() < 0) return SystemError("make", path);
      struct stat opened {};
      if (fstat(file.get(), &opened) != 0) return SystemError("examine", path);
      if (!S_ISREG(opened.st_mode)) {
        return absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file; remove it first"));
      }
      if (opened.st_uid != geteuid()) {
        return absl::PermissionDeniedError(absl::StrCat(path, " is another user's file; remove it first"));
      }
      if (flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
        struct stat named {};
        const bool is_named = lstat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino;
        if (is_named) return SetupLock(path, std::move(file));
        continue;  // the previous holder has removed the file
      }
      if (errno != EWOULDBLOCK) return SystemError("lock", path);
      std::this_thread::sleep_for(kLockPause);
    }
    return absl::UnavailableError(absl::StrCat("another process holds a lock on ", path, "; end it first"));
  }

  ~SetupLock() {
    if (file_.get() >= 0) unlink(path_.c_str());
  }
  SetupLock(SetupLock&&) noexcept = default;
  SetupLock& operator=(SetupLock&&) = delete;

 private:
  SetupLock(std::string path, Descriptor file) : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  Descriptor file_;
};

// Whether the path is free, or a socket of this user that nobody listens on.
Status CheckReplaceable(const std::string& path, const sockaddr_un& name) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus() : SystemError("examine", path);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::AlreadyExistsError(absl::StrCat(path, " exists and is not a socket; remove it first"));
  }
  if (found.st_uid != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(path, " is another user's socket; remove it first"));
  }
  const Descriptor probe = OpenSocket();
  if (probe.get() < 0) return SystemError("make a socket for", path);
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0 &&
      errno == ECONNREFUSED) {
    return absl::OkStatus();
  }
  // EAGAIN also means that somebody listens: the queue of connections is full.
  return absl::AlreadyExistsError(absl::StrCat("another process listens on ", path, "; end it first"));
}

}  // namespace

Result<ListeningSocket::All> ListeningSocket::Open(const config::Listener& listener) {
  All all;
  if (const auto* local = std::get_if<config::UnixAddress>(&listener.address)) {
    Result<ListeningSocket> socket = OpenUnix(local->path, listener.socket_mode);
    if (!socket.ok()) return socket.status();
    all.sockets.push_back(*std::move(socket));
    return all;
  }
  const auto& address = std::get<config::TcpAddress>(listener.address);
  Result<TcpListeners> tcp = ListenTcp(address.host, address.port);
  if (!tcp.ok()) return tcp.status();
  for (TcpListener& each : tcp->listening) {
    all.sockets.push_back(ListeningSocket(std::move(each.socket), std::move(each.address)));
  }
  all.skipped = std::move(tcp->skipped);
  return all;
}

// Binds the socket under a temporary name, listens, and renames it. So clients that find the name can
// connect, and the socket never looks stale to another daemon.
Result<ListeningSocket> ListeningSocket::OpenUnix(const std::string& path, mode_t mode) {
  const std::string folder = FolderOf(path);
  const std::string fresh_path = folder + "/" + std::string(config::kNewSocketName);
  const Result<sockaddr_un> name = UnixName(path);
  if (!name.ok()) return name.status();
  const Result<sockaddr_un> fresh_name = UnixName(fresh_path);
  if (!fresh_name.ok()) return fresh_name.status();

  const Result<SetupLock> lock = SetupLock::Acquire(folder);
  if (!lock.ok()) return lock.status();
  if (Status status = CheckReplaceable(path, *name); !status.ok()) return status;

  Descriptor fd = OpenSocket();
  if (fd.get() < 0) return SystemError("make a socket for", path);
  if (unlink(fresh_path.c_str()) != 0 && errno != ENOENT) return SystemError("remove", fresh_path);

  // The mode is set by umask and not by chmod, which would follow a symlink that another user may put there.
  const mode_t mask = umask(~mode & 0777);
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&*fresh_name), sizeof(*fresh_name));
  const int bind_error = errno;
  umask(mask);
  errno = bind_error;
  if (bound != 0) return SystemError("bind", fresh_path);
  absl::Cleanup remove_fresh = [&] { unlink(fresh_path.c_str()); };

  if (listen(fd.get(), SOMAXCONN) != 0) return SystemError("listen on", path);
  struct stat self {};
  if (lstat(fresh_path.c_str(), &self) != 0) return SystemError("examine", fresh_path);
  if (rename(fresh_path.c_str(), path.c_str()) != 0) return SystemError("make", path);
  std::move(remove_fresh).Cancel();

  ListeningSocket socket(std::move(fd), absl::StrCat("unix://", path));
  socket.path_ = path;
  socket.device_ = self.st_dev;
  socket.inode_ = self.st_ino;
  return socket;
}

ListeningSocket::~ListeningSocket() {
  // No other daemon replaces the socket while this one still listens, so the name does not change after this
  // check.
  struct stat found {};
  if (fd() >= 0 && !path_.empty() && lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

}  // namespace tokend::rpc
