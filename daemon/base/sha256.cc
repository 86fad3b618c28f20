#include "daemon/base/sha256.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <memory>
#include <tuple>

#include "daemon/base/form.h"

namespace tokend {
namespace {

constexpr int kSha256Bytes = 32;
static_assert(std::tuple_size_v<Sha256Digest> == kSha256Bytes);

struct Free {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

}  // namespace

Sha256Digest Sha256(std::string_view bytes) {
  // To look up the algorithm and to make a context takes longer than to hash a record. OpenSSL wipes the last
  // block when the digest is taken, so that the context keeps none of the bytes.
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  Sha256Digest digest;
  // Without SHA-256 no record can be chained, so the process must stop.
  if (EVP_DigestInit_ex2(context.get(), algorithm, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) {
    std::abort();
  }
  return digest;
}

std::string Sha256Hex(std::string_view bytes) {
  const Sha256Digest digest = Sha256(bytes);
  return Hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace tokend
