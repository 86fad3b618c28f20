#pragma once

#include <openssl/sha.h>

#include <array>
#include <string_view>

namespace tokend {

using Sha256Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

inline Sha256Digest Sha256(std::string_view bytes) {
  Sha256Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

}  // namespace tokend
