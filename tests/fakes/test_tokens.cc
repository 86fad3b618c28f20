#include "tests/fakes/test_tokens.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace tokend::fakes {
namespace {

void Require(bool done) {
  if (!done) std::abort();
}

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

const EVP_MD* DigestOf(std::string_view algorithm) {
  const std::string_view bits = algorithm.substr(algorithm.size() - 3);
  if (bits == "384") return EVP_sha384();
  if (bits == "512") return EVP_sha512();
  return EVP_sha256();
}

std::string FromBignum(const BIGNUM* number, std::size_t size) {
  std::string bytes(std::max(size, static_cast<std::size_t>(BN_num_bytes(number))), '\0');
  Require(BN_bn2binpad(number, Bytes(bytes), static_cast<int>(bytes.size())) >= 0);
  return bytes;
}

}  // namespace

std::string Base64Url(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  unsigned bits = 0;
  int held = 0;
  for (const char c : bytes) {
    bits = (bits << 8U) | static_cast<unsigned char>(c);
    held += 8;
    for (; held >= 6; held -= 6) text += kDigits[(bits >> (held - 6)) & 63U];
  }
  if (held > 0) text += kDigits[(bits << (6 - held)) & 63U];
  return text;
}

TokenKey TokenKey::Rsa(unsigned bits) {
  EVP_PKEY* key = EVP_RSA_gen(bits);
  Require(key != nullptr);
  return TokenKey(key);
}

TokenKey TokenKey::Ec(const std::string& curve) {
  EVP_PKEY* key = EVP_EC_gen(curve.c_str());
  Require(key != nullptr);
  return TokenKey(key);
}

std::string TokenKey::Number(const char* name, std::size_t size) const {
  BIGNUM* number = nullptr;
  Require(EVP_PKEY_get_bn_param(key_.get(), name, &number) == 1);
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> owned(number, &BN_free);
  return FromBignum(number, size);
}

std::string TokenKey::Modulus() const { return Number(OSSL_PKEY_PARAM_RSA_N); }

std::string TokenKey::Jwk(const std::string& members) const {
  if (EVP_PKEY_get_base_id(key_.get()) == EVP_PKEY_RSA) {
    return R"({"kty":"RSA","n":")" + Base64Url(Modulus()) + R"(","e":")" +
           Base64Url(Number(OSSL_PKEY_PARAM_RSA_E)) + "\"" + members + "}";
  }
  const int bits = EVP_PKEY_get_bits(key_.get());
  const auto size = static_cast<std::size_t>(bits + 7) / 8;
  std::array<char, 32> group{};
  Require(EVP_PKEY_get_group_name(key_.get(), group.data(), group.size(), nullptr) == 1);
  const std::string curve =
      std::string(group.data()) == "secp256k1" ? "secp256k1" : "P-" + std::to_string(bits);
  return R"({"kty":"EC","crv":")" + curve + R"(","x":")" + Base64Url(Number(OSSL_PKEY_PARAM_EC_PUB_X, size)) +
         R"(","y":")" + Base64Url(Number(OSSL_PKEY_PARAM_EC_PUB_Y, size)) + "\"" + members + "}";
}

std::string TokenKey::PublicPem() const {
  const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), &BIO_free);
  Require(PEM_write_bio_PUBKEY(memory.get(), key_.get()) == 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

std::string TokenKey::SignDer(std::string_view algorithm, std::string_view input) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_PKEY_CTX* options = nullptr;
  Require(EVP_DigestSignInit(context.get(), &options, DigestOf(algorithm), nullptr, key_.get()) == 1);
  if (algorithm.substr(0, 2) == "PS") {
    Require(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1);
    Require(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1);
  }
  std::size_t size = 0;
  Require(EVP_DigestSign(context.get(), nullptr, &size, Bytes(input), input.size()) == 1);
  std::string signature(size, '\0');
  Require(EVP_DigestSign(context.get(), Bytes(signature), &size, Bytes(input), input.size()) == 1);
  signature.resize(size);
  return signature;
}

std::string TokenKey::Sign(std::string_view algorithm, std::string_view input) const {
  std::string signature = SignDer(algorithm, input);
  if (EVP_PKEY_get_base_id(key_.get()) == EVP_PKEY_RSA) return signature;
  const unsigned char* der = Bytes(signature);
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> parts(
      d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(signature.size())), &ECDSA_SIG_free);
  Require(parts != nullptr);
  const auto size = static_cast<std::size_t>(EVP_PKEY_get_bits(key_.get()) + 7) / 8;
  return FromBignum(ECDSA_SIG_get0_r(parts.get()), size) + FromBignum(ECDSA_SIG_get0_s(parts.get()), size);
}

std::string JwkSet(const std::vector<std::string>& jwks) {
  std::string set = R"({"keys":[)";
  for (const std::string& jwk : jwks) set += (set.back() == '[' ? "" : ",") + jwk;
  return set + "]}";
}

std::string Hmac(std::string_view algorithm, std::string_view key, std::string_view input) {
  std::string code(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  Require(HMAC(DigestOf(algorithm), key.data(), static_cast<int>(key.size()), Bytes(input), input.size(),
               Bytes(code), &size) != nullptr);
  code.resize(size);
  return code;
}

std::string SigningInput(std::string_view header, std::string_view payload) {
  return Base64Url(header) + "." + Base64Url(payload);
}

std::string SignToken(const TokenKey& key, std::string_view algorithm, std::string_view header,
                      std::string_view payload) {
  const std::string input = SigningInput(header, payload);
  return input + "." + Base64Url(key.Sign(algorithm, input));
}

}  // namespace tokend::fakes
