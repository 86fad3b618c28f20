#include "daemon/audit/fingerprint.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "daemon/base/form.h"

namespace tokend::audit {
namespace {

constexpr std::size_t kMinKey = 32;
constexpr std::size_t kMaxKey = 4096;

}  // namespace

Result<Fingerprinter> Fingerprinter::FromFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "audit.fingerprint_key_file cannot be opened");
  std::array<char, kMaxKey + 1> buffer;
  std::size_t size = 0;
  ssize_t got = 0;
  int error = 0;
  do {
    got = read(fd, buffer.data() + size, buffer.size() - size);
    if (got < 0) error = errno;
    if (got > 0) size += static_cast<std::size_t>(got);
  } while ((got > 0 && size < buffer.size()) || (got < 0 && error == EINTR));
  close(fd);
  Secret key(std::string_view(buffer.data(), size));
  OPENSSL_cleanse(buffer.data(), buffer.size());
  if (got < 0) return absl::ErrnoToStatus(error, "audit.fingerprint_key_file cannot be read");
  if (size < kMinKey)
    return absl::InvalidArgumentError("audit.fingerprint_key_file holds fewer than 32 bytes");
  if (size > kMaxKey) return absl::InvalidArgumentError("audit.fingerprint_key_file holds over 4,096 bytes");
  return Fingerprinter(std::move(key), false);
}

Fingerprinter Fingerprinter::WithNewKey() {
  std::array<unsigned char, kMinKey> bytes;
  // Without randomness the fingerprints would tell the bearers.
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) std::abort();
  Secret key(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return Fingerprinter(std::move(key), true);
}

bool operator==(const Fingerprinter& a, const Fingerprinter& b) {
  const std::string_view one = a.key_.Expose();
  const std::string_view other = b.key_.Expose();
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string Fingerprinter::Of(const Bearer& bearer) const {
  const std::string_view key = key_.Expose();
  const std::string_view text = bearer.Expose();
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac;
  unsigned size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &size);
  if (made == nullptr) std::abort();
  return "hmac-sha256:" + Hex({reinterpret_cast<const char*>(mac.data()), size});
}

}  // namespace tokend::audit
