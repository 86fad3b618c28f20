#include "daemon/base/sha256.h"

#include <openssl/sha.h>

#include <tuple>

#include "daemon/base/form.h"

namespace tokend {

static_assert(std::tuple_size_v<Sha256Digest> == SHA256_DIGEST_LENGTH);

Sha256Digest Sha256(std::string_view bytes) {
  Sha256Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

std::string Sha256Hex(std::string_view bytes) {
  const Sha256Digest digest = Sha256(bytes);
  return Hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace tokend
