#pragma once

#include <string>
#include <utility>

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

  // Whether WithNewKey made it.
  bool made_here() const { return made_here_; }

  // Whether both have the same key.
  friend bool operator==(const Fingerprinter& a, const Fingerprinter& b);

  // "hmac-sha256:" and hex of HMAC-SHA-256(key, bearer).
  std::string Of(const Bearer& bearer) const;

 private:
  Fingerprinter(Secret key, bool made_here) : key_(std::move(key)), made_here_(made_here) {}

  Secret key_;
  bool made_here_;
};

}  // namespace tokend::audit
