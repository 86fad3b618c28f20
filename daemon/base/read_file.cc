#include "daemon/base/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/descriptor.h"

namespace tokend {
namespace {

constexpr std::size_t kBlockBytes = 16384;

Status CannotRead() {
  return absl::FailedPreconditionError("cannot be read: " + std::generic_category().message(errno));
}

// "256 KiB", "16 MiB" or "4098 bytes".
std::string SizeText(std::size_t bytes) {
  constexpr std::size_t kKiB = 1024;
  if (bytes % (kKiB * kKiB) == 0) return std::to_string(bytes / (kKiB * kKiB)) + " MiB";
  if (bytes % kKiB == 0) return std::to_string(bytes / kKiB) + " KiB";
  return std::to_string(bytes) + " bytes";
}

}  // namespace

const char* WhyExposed(mode_t mode) {
  if ((mode & S_IROTH) != 0) return "may be read by others: chmod o-r";
  if ((mode & (S_IWGRP | S_IWOTH)) != 0) return "may be written by its group or by others: chmod go-w";
  return nullptr;
}

Status ReadBlocks(const std::string& path, std::size_t max_bytes, Secrecy secrecy,
                  absl::FunctionRef<void(std::string_view)> take) {
  // O_NONBLOCK, because opening a FIFO without it waits for a writer.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return CannotRead();
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return CannotRead();
  if (!S_ISREG(status.st_mode)) return absl::FailedPreconditionError("is not a regular file");
  if (secrecy == Secrecy::kSecret) {
    if (const char* why = WhyExposed(status.st_mode)) return absl::FailedPreconditionError(why);
  }

  std::array<char, kBlockBytes> block;
  const absl::Cleanup wipe = [&block] { OPENSSL_cleanse(block.data(), block.size()); };
  for (std::size_t total = 0;;) {
    const ssize_t count = read(file.get(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CannotRead();
    if (count == 0) return absl::OkStatus();
    total += static_cast<std::size_t>(count);
    if (total > max_bytes) return absl::FailedPreconditionError("is larger than " + SizeText(max_bytes));
    take({block.data(), static_cast<std::size_t>(count)});
  }
}

Result<Secret> ReadBoundedFile(const std::string& path, std::size_t max_bytes, Secrecy secrecy) {
  Secret text;
  const Status read =
      ReadBlocks(path, max_bytes, secrecy, [&text](std::string_view block) { text.Append(block); });
  if (read.ok()) return text;
  return absl::FailedPreconditionError(path + ": " + std::string(read.message()));
}

}  // namespace tokend
