#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/result.h"

namespace tokend::identity {

// How a token may be signed: RS, PS or ES with 256, 384 or 512.
struct Algorithm {
  enum class Kind { kRsa, kEcdsa };

  std::string_view name;
  Kind kind;
  std::size_t coordinate_bytes;  // of the elliptic curve; 0 for RSA
};

// Null for any other algorithm, such as "none" and HS256.
const Algorithm* FindAlgorithm(std::string_view name);

// The parts of a signed token. None of them may be trusted before the signature is verified.
struct Jws {
  const Algorithm* algorithm = nullptr;
  std::optional<std::string> key_id;
  std::string payload;
  std::size_t signature_bytes = 0;
  std::string_view compact;  // the text that it was parsed from
};

inline constexpr std::size_t kMaxTokenBytes = 8192;

// UNAUTHENTICATED, in fixed words, where the text is not a JWS in compact form, its algorithm is none of the
// above, or its header asks for an extension. Keys and addresses of keys in the header are ignored.
Result<Jws> ParseJws(std::string_view compact);

}  // namespace tokend::identity
