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

// Nothing of any other, "none" and HS among them.
const Algorithm* FindAlgorithm(std::string_view name);

// A signed token, taken apart. Nothing in it is to be believed before its signature is verified.
struct Jws {
  const Algorithm* algorithm = nullptr;
  std::optional<std::string> key_id;
  std::string payload;
  std::size_t signature_bytes = 0;
  std::string_view compact;  // what it was parsed from
};

inline constexpr std::size_t kMaxTokenBytes = 8192;

// UNAUTHENTICATED with fixed words where the text is no JWS in compact form whose header asks for nothing
// else than an algorithm of the above and perhaps a key. Keys and addresses of keys in the header do not
// count.
Result<Jws> ParseJws(std::string_view compact);

}  // namespace tokend::identity
