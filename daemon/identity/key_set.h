#pragma once

#include <cjose/cjose.h>
#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/identity/jws.h"

namespace tokend::identity {

inline constexpr std::size_t kMaxKeySetBytes = std::size_t{256} << 10U;
inline constexpr std::size_t kMaxKeys = 100;

enum class Verdict {
  kVerified,
  kUnknownKey,  // the set has no key for the token
  kRefused,     // the keys for the token did not sign it
};

// An issuer's public keys, from a JWK Set (RFC 7517). Immutable; any thread.
class KeySet {
 public:
  // Leaves out keys that cannot verify a token: another kind or curve, another use, RSA outside 2048 to 8192
  // bits. INVALID_ARGUMENT, in fixed words, where the text is not a JWK Set, is too large, or has no usable
  // key.
  static Result<std::shared_ptr<const KeySet>> Parse(std::string_view text);

  // Whether a key with the token's key id has signed it, or, where the token names none, any key that fits
  // its algorithm.
  Verdict Verify(const Jws& jws) const;

  // How many keys Parse has left out and why, in fixed words; empty if none.
  const std::string& left_out() const { return left_out_; }

  // Unique in this process.
  std::uint64_t id() const { return id_; }
  // SHA-256 of the text that it was parsed from.
  const std::string& digest() const { return digest_; }
  std::size_t size() const { return keys_.size(); }

 private:
  struct Release {
    void operator()(cjose_jwk_t* key) const { cjose_jwk_release(key); }
  };
  struct Key {
    std::unique_ptr<cjose_jwk_t, Release> jwk;
    Algorithm::Kind kind = Algorithm::Kind::kRsa;
    std::size_t coordinate_bytes = 0;      // 0 for RSA
    std::size_t signature_bytes = 0;       // of every signature by this key
    const Algorithm* algorithm = nullptr;  // the only one that it may verify; null: any that fits
    std::optional<std::string> id;

    bool Fits(const Algorithm& asked) const;
    bool HasSigned(const Jws& jws) const;
  };

  KeySet();
  // These say why the key cannot verify a token, in fixed words; null: it can, and `key` has been read.
  static const char* ReadKey(const simdjson::dom::element& element, Key& key);
  static const char* ReadRsa(const simdjson::dom::object& jwk, Key& key);
  static const char* ReadEc(const simdjson::dom::object& jwk, Key& key);

  const std::uint64_t id_;
  std::string digest_;
  std::string left_out_;
  std::vector<Key> keys_;
};

}  // namespace tokend::identity
