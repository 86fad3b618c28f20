#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/result.h"

// Ed25519 signatures of checkpoints, over "tokend audit checkpoint\n<seq>\n<prev>\n": "ed25519:<base64>".
namespace tokend::audit {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

// Signs checkpoints. Immutable; any thread.
class Signer {
 public:
  // The private key in a PEM file; errors name the file and what it must hold.
  static Result<Signer> FromFile(const std::string& path);

  std::string Sign(std::uint64_t seq, std::string_view prev) const;

  // Whether both sign alike.
  friend bool operator==(const Signer& a, const Signer& b) {
    return EVP_PKEY_eq(a.key_.get(), b.key_.get()) == 1;
  }

 private:
  explicit Signer(std::unique_ptr<EVP_PKEY, FreeKey> key) : key_(std::move(key)) {}
  std::unique_ptr<EVP_PKEY, FreeKey> key_;
};

// Verifies them. Immutable; any thread.
class Verifier {
 public:
  // The public key in a PEM file.
  static Result<Verifier> FromFile(const std::string& path);

  bool Verifies(std::uint64_t seq, std::string_view prev, std::string_view signature) const;

 private:
  explicit Verifier(std::unique_ptr<EVP_PKEY, FreeKey> key) : key_(std::move(key)) {}
  std::unique_ptr<EVP_PKEY, FreeKey> key_;
};

}  // namespace tokend::audit
