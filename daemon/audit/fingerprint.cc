#include "daemon/audit/fingerprint.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "daemon/base/form.h"
#include "daemon/base/read_file.h"

namespace tokend::audit {
namespace {

constexpr std::size_t kMinKey = 32;
constexpr std::size_t kMaxKey = 4096;

}  // namespace

Fingerprinter::Fingerprinter(Secret key, bool made_here) : key_(std::move(key)), made_here_(made_here) {
  constexpr std::size_t kDigits = 8;
  key_name_ = Mac("tokend fingerprint key id").substr(0, kDigits);
}

Result<Fingerprinter> Fingerprinter::FromFile(const std::string& path) {
  Result<Secret> key = ReadBoundedFile(path, kMaxKey);
  if (!key.ok()) return key.status();
  if (key->size() < kMinKey) return absl::FailedPreconditionError(path + ": must hold at least 32 bytes");
  return Fingerprinter(*std::move(key), false);
}

Fingerprinter Fingerprinter::WithNewKey() {
  std::array<unsigned char, kMinKey> bytes;
  // With a key that can be guessed, fingerprints would reveal whether a guessed bearer is the right one.
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

std::string Fingerprinter::Of(const Bearer& bearer) const { return "hmac-sha256:" + Mac(bearer.Expose()); }

std::string Fingerprinter::Mac(std::string_view text) const {
  const std::string_view key = key_.Expose();
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac;
  unsigned size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &size);
  if (made == nullptr) std::abort();
  return Hex({reinterpret_cast<const char*>(mac.data()), size});
}

}  // namespace tokend::audit
