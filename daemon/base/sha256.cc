#include "daemon/base/sha256.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <new>
#include <tuple>

#include "daemon/base/form.h"

namespace tokend {

static_assert(std::tuple_size_v<Sha256Digest> == SHA256_DIGEST_LENGTH);

Sha256Digest Sha256(std::string_view bytes) {
  // To look the algorithm up takes as long as to hash 200 bytes, and OpenSSL's SHA256 does so each time.
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Sha256Digest digest;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, algorithm, nullptr) != 1) {
    throw std::bad_alloc();
  }
  return digest;
}

std::string Sha256Hex(std::string_view bytes) {
  const Sha256Digest digest = Sha256(bytes);
  return Hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace tokend
