// A library for LD_PRELOAD that makes the disk fail or hang. Each call reads the fault from the file that the
// environment variable FAULTY_DISK names. The fault is one of write-eio, write-nospace, write-short,
// write-interrupted, write-hang, sync-eio and sync-hang. Without the file, or with an empty one, the disk
// works. Only regular files and folders other than standard error are affected.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr std::size_t kText = 32;

bool OnDisk(int descriptor) {
  struct stat status = {};
  return descriptor > STDERR_FILENO && fstat(descriptor, &status) == 0 &&
         (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
}

bool Now(const char* fault) {
  char text[kText] = {};
  const char* path = getenv("FAULTY_DISK");
  const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t got = read(file, text, sizeof(text) - 1);
  close(file);
  return got > 0 && strcmp(text, fault) == 0;
}

void HangWhile(const char* fault) {
  constexpr timespec kBreath{0, 5'000'000};
  while (Now(fault)) nanosleep(&kBreath, nullptr);
}

long Fail(int error) {
  errno = error;
  return -1;
}

int Sync(long call, int descriptor) {
  if (OnDisk(descriptor)) {
    if (Now("sync-eio")) return static_cast<int>(Fail(EIO));
    HangWhile("sync-hang");
  }
  return static_cast<int>(syscall(call, descriptor));
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t size) {
  if (OnDisk(descriptor)) {
    if (Now("write-eio")) return Fail(EIO);
    if (Now("write-nospace")) return Fail(ENOSPC);
    if (Now("write-interrupted") && rand() % 2 == 0) return Fail(EINTR);
    if (Now("write-short") && size > 1) size /= 2;
    HangWhile("write-hang");
  }
  return syscall(SYS_write, descriptor, bytes, size);
}

int fdatasync(int descriptor) { return Sync(SYS_fdatasync, descriptor); }
int fsync(int descriptor) { return Sync(SYS_fsync, descriptor); }

}  // extern "C"
