#include "daemon/base/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "absl/cleanup/cleanup.h"

namespace tokend {
namespace {

constexpr std::size_t kBlockBytes = 4096;

Status Unusable(const std::string& path, const std::string& what) {
  return absl::FailedPreconditionError(path + ": " + what);
}

Status CannotRead(const std::string& path) {
  return Unusable(path, "cannot be read: " + std::generic_category().message(errno));
}

}  // namespace

Result<Secret> ReadBoundedFile(const std::string& path, std::size_t max_bytes) {
  // O_NONBLOCK: to open a FIFO would wait for its writer.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return CannotRead(path);
  const absl::Cleanup close_file = [file] { close(file); };
  struct stat status {};
  if (fstat(file, &status) != 0) return CannotRead(path);
  if (!S_ISREG(status.st_mode)) return Unusable(path, "is not a regular file");

  Secret contents;
  std::array<char, kBlockBytes> block;
  const absl::Cleanup wipe = [&block] { OPENSSL_cleanse(block.data(), block.size()); };
  for (;;) {
    const ssize_t count = read(file, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CannotRead(path);
    if (count == 0) return contents;
    contents.Append({block.data(), static_cast<std::size_t>(count)});
    if (contents.size() > max_bytes) return Unusable(path, "is too large");
  }
}

}  // namespace tokend
