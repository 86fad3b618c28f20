#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/result.h"

// Signatures of checkpoints: "ed25519:<base64>", over the text "tokend audit checkpoint\n<seq>\n<prev>\n".
namespace tokend::audit {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

// Signs checkpoints. Immutable; any thread.
class Signer {
 public:
  // Reads the private key from a PEM file. An error names the file and what it must hold.
  static Result<Signer> FromFile(const std::string& path);

  std::string Sign(std::uint64_t seq, std::string_view prev) const;

  // Whether both have the same key.
  friend bool operator==(const Signer& a, const Signer& b) {
    return EVP_PKEY_eq(a.key_.get(), b.key_.get()) == 1;
  }

 private:
  explicit Signer(std::unique_ptr<EVP_PKEY, FreeKey> key) : key_(std::move(key)) {}
  std::unique_ptr<EVP_PKEY, FreeKey> key_;
};

// Verifies signatures of checkpoints. Immutable; any thread.
class Verifier {
 public:
  // Reads the public key from a PEM file. An error names the file and what it must hold.
  static Result<Verifier> FromFile(const std::string& path);

  bool Verifies(std::uint64_t seq, std::string_view prev, std::string_view signature) const;

 private:
  explicit Verifier(std::unique_ptr<EVP_PKEY, FreeKey> key) : key_(std::move(key)) {}
  std::unique_ptr<EVP_PKEY, FreeKey> key_;
};

}  // namespace tokend::audit
