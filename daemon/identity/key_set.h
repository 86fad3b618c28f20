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
  kUnknownKey,  // a newer key set may have the key
  kRefused,
};

// An issuer's public keys, by a JWK Set (RFC 7517). Immutable; any thread.
class KeySet {
 public:
  // Keys that cannot verify a token are left out: another kind or curve, another use, RSA outside 2048 to
  // 8192 bits. INVALID_ARGUMENT in fixed words where the text is no JWK Set, is too large, or leaves no key.
  static Result<std::shared_ptr<const KeySet>> Parse(std::string_view text);

  // Whether the token's signature is by the key that it names, or, where it names none, by the only key that
  // its algorithm can have.
  Verdict Verify(const Jws& jws) const;

  // Other than any other set's of this process.
  std::uint64_t id() const { return id_; }
  // Of what it was parsed from.
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
    const Algorithm* algorithm = nullptr;  // the only one that it is for; null: any that fits
    std::optional<std::string> id;

    bool Fits(const Algorithm& asked) const;
    bool HasSigned(const Jws& jws) const;
  };

  KeySet();
  static std::optional<Key> ReadKey(const simdjson::dom::object& jwk);
  static bool ReadRsa(const simdjson::dom::object& jwk, Key& key);
  static bool ReadEc(const simdjson::dom::object& jwk, Key& key);

  const std::uint64_t id_;
  std::string digest_;
  std::vector<Key> keys_;
};

}  // namespace tokend::identity
