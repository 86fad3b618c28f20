#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/mint_outcome.h"
#include "daemon/base/result.h"
#include "daemon/base/secret.h"

namespace tokend::state {

// Seals tokens for storage that others can read and write: AES-256-GCM under one key, with a random nonce for
// each. A token that is sealed for one request_id and caller opens for no other. Thread-safe.
class Sealer {
 public:
  static constexpr std::size_t kKeyBytes = 32;

  // `key` has kKeyBytes.
  explicit Sealer(Secret key);

  // Fails only if OpenSSL has no random numbers or no memory.
  Result<std::string> Seal(const Token& token, std::string_view request_id, std::string_view caller) const;

  // Fails unless this key sealed it for this request_id and caller.
  Result<std::shared_ptr<const Token>> Open(std::string_view sealed, std::string_view request_id,
                                            std::string_view caller) const;

  // A text by which two keys can be compared, and from which a key cannot be learned.
  std::string KeyCheck() const;

 private:
  const Secret key_;
};

}  // namespace tokend::state
