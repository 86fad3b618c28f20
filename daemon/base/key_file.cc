#include "daemon/base/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"

namespace tokend {
namespace {

constexpr std::string_view kTooLong = "is longer than 4 KiB";

using Buffer = std::vector<char, WipingAllocator<char>>;

Status Unusable(std::string_view source, std::string_view what) {
  return absl::FailedPreconditionError(std::string(source).append(": ").append(what));
}

Status CannotRead(const std::string& path) {
  return Unusable(path, "cannot be read: " + std::generic_category().message(errno));
}

Result<Buffer> ReadProtected(const std::string& path) {
  // O_NONBLOCK: otherwise open() of a FIFO blocks until it has a writer.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return CannotRead(path);
  const absl::Cleanup close_file = [file] { close(file); };

  struct stat status;
  if (fstat(file, &status) != 0) return CannotRead(path);
  if (!S_ISREG(status.st_mode)) return Unusable(path, "is not a regular file");
  if ((status.st_mode & S_IROTH) != 0) {
    return Unusable(path, "may be read by others: chmod o-r");
  }

  Buffer buffer(kMaxKeyBytes + 1);
  std::size_t size = 0;
  while (size < buffer.size()) {
    const ssize_t count = read(file, buffer.data() + size, buffer.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CannotRead(path);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  if (size == 0) return Unusable(path, "is empty");
  if (size > kMaxKeyBytes) return Unusable(path, kTooLong);
  buffer.resize(size);
  return buffer;
}

}  // namespace

Result<Secret> ReadSecretFile(const std::string& path) {
  const Result<Buffer> buffer = ReadProtected(path);
  if (!buffer.ok()) return buffer.status();
  return Secret(std::string_view(buffer->data(), buffer->size()));
}

Result<Secret> ReadKeyFile(const std::string& path) {
  const Result<Buffer> buffer = ReadProtected(path);
  if (!buffer.ok()) return buffer.status();
  std::string_view text(buffer->data(), buffer->size());
  if (text.ends_with('\n')) {
    text.remove_suffix(1);
    if (text.ends_with('\r')) text.remove_suffix(1);
  }
  return MakeKey(path, text);
}

Result<Secret> MakeKey(std::string_view source, std::string_view text) {
  if (text.empty()) return Unusable(source, "is empty");
  if (text.size() > kMaxKeyBytes) return Unusable(source, kTooLong);
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; })) {
    return Unusable(source, "must hold the key alone: one line of printable ASCII without spaces");
  }
  return Secret(text);
}

}  // namespace tokend
