#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

namespace tokend::audit {

// Names a bearer without telling it: whoever holds the key and the bearer can find its records. Immutable;
// any thread.
class Fingerprinter {
 public:
  // The key is the file's bytes as they are: 32 to 4,096.
  static Result<Fingerprinter> FromFile(const std::string& path);

  // A key of its own, lost with this.
  static Fingerprinter WithNewKey();

  // "hmac-sha256:" and hex of HMAC-SHA-256(key, bearer).
  std::string Of(const Bearer& bearer) const;

 private:
  explicit Fingerprinter(Secret key) : key_(std::move(key)) {}

  Secret key_;
};

}  // namespace tokend::audit
