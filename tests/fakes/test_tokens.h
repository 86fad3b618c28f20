#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// JSON Web Tokens and keys of the tests, made with OpenSSL alone: what the daemon verifies with has no part
// in them. Everything aborts where OpenSSL fails.
namespace tokend::fakes {

std::string Base64Url(std::string_view bytes);

// A key that signs tokens.
class TokenKey {
 public:
  static TokenKey Rsa(unsigned bits);
  // "P-256", "P-384", "P-521" or "secp256k1".
  static TokenKey Ec(const std::string& curve);

  // Its public half as a JWK; `members` is put before the closing brace, such as R"(,"kid":"a")".
  std::string Jwk(const std::string& members = "") const;
  std::string PublicPem() const;
  // Of an RSA key, big-endian.
  std::string Modulus() const;

  // A signature as a JWS has it. `algorithm` must suit the key's type: RS256 … PS512, ES256 … ES512; for an
  // EC key it says the digest alone.
  std::string Sign(std::string_view algorithm, std::string_view input) const;
  // The same of an EC key as ASN.1, which no JWS may have.
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

// HMAC with SHA-256, 384 or 512, by the last three characters of the algorithm.
std::string Hmac(std::string_view algorithm, std::string_view key, std::string_view input);

// The base64url of header and payload with a dot between: what is signed.
std::string SigningInput(std::string_view header, std::string_view payload);

// A token in compact form.
std::string SignToken(const TokenKey& key, std::string_view algorithm, std::string_view header,
                      std::string_view payload);

}  // namespace tokend::fakes
