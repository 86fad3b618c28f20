#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

namespace tokend::audit {

// Identifies a bearer without revealing it: with the key and the bearer, its records can be found. Immutable;
// any thread.
class Fingerprinter {
 public:
  // The key is all bytes of the file: 32 to 4,096.
  static Result<Fingerprinter> FromFile(const std::string& path);

  // Makes a random key, which exists in this object alone.
  static Fingerprinter WithNewKey();

  // Whether WithNewKey made the key.
  bool made_here() const { return made_here_; }

  // Whether both have the same key.
  friend bool operator==(const Fingerprinter& a, const Fingerprinter& b);

  // "hmac-sha256:" and hex of HMAC-SHA-256(key, bearer).
  std::string Of(const Bearer& bearer) const;

  // Names the key without revealing it: the first 8 hex digits of HMAC-SHA-256(key, "tokend fingerprint key
  // id").
  const std::string& KeyName() const { return key_name_; }

 private:
  Fingerprinter(Secret key, bool made_here);

  std::string Mac(std::string_view text) const;

  Secret key_;
  bool made_here_;
  std::string key_name_;
};

}  // namespace tokend::audit
