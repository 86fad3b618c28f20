#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// JSON Web Tokens and keys for tests. They are made only with OpenSSL, not with the library that the daemon
// verifies with. All functions abort if OpenSSL fails.
namespace tokend::fakes {

std::string Base64Url(std::string_view bytes);

// A key that signs tokens.
class TokenKey {
 public:
  static TokenKey Rsa(unsigned bits);
  // "P-256", "P-384", "P-521" or "secp256k1".
  static TokenKey Ec(const std::string& curve);

  // The public key as a JWK, with `members` before its closing brace, such as R"(,"kid":"a")".
  std::string Jwk(const std::string& members = "") const;
  std::string PublicPem() const;
  // The modulus of an RSA key, big-endian.
  std::string Modulus() const;

  // A signature in the form of a JWS. `algorithm` must fit the type of the key: RS256 … PS512, ES256 … ES512.
  // For an EC key it selects only the digest.
  std::string Sign(std::string_view algorithm, std::string_view input) const;
  // The same for an EC key, but encoded as ASN.1, which is invalid in a JWS.
  std::string SignDer(std::string_view algorithm, std::string_view input) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  explicit TokenKey(EVP_PKEY* key) : key_(key) {}

  std::string Number(const char* name, std::size_t size = 0) const;

  std::unique_ptr<EVP_PKEY, Free> key_;
};

std::string JwkSet(const std::vector<std::string>& jwks);

// HMAC with SHA-256, SHA-384 or SHA-512: the last three characters of the algorithm say which.
std::string Hmac(std::string_view algorithm, std::string_view key, std::string_view input);

// The bytes that a signature covers: header and payload in base64url, with a dot between them.
std::string SigningInput(std::string_view header, std::string_view payload);

// A token in compact form.
std::string SignToken(const TokenKey& key, std::string_view algorithm, std::string_view header,
                      std::string_view payload);

}  // namespace tokend::fakes
