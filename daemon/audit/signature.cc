#include "daemon/audit/signature.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/certificates.h"

namespace tokend::audit {
namespace {

constexpr std::string_view kPrefix = "ed25519:";
constexpr std::size_t kSignatureBytes = 64;
constexpr std::size_t kBase64Bytes = 88;

using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

struct Free {
  void operator()(BIO* file) const { BIO_free(file); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, Free>;

std::string TextOf(std::uint64_t seq, std::string_view prev) {
  return "tokend audit checkpoint\n" + std::to_string(seq) + "\n" + std::string(prev) + "\n";
}

enum class Half { kPrivate, kPublic };

Result<Key> ReadKey(const std::string& path, Half half) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  const std::unique_ptr<BIO, Free> file(BIO_new_file(path.c_str(), "r"));
  if (!file) return absl::FailedPreconditionError(path + ": cannot be read");
  Key key(half == Half::kPrivate ? PEM_read_bio_PrivateKey(file.get(), nullptr, NoPassphrase, nullptr)
                                 : PEM_read_bio_PUBKEY(file.get(), nullptr, NoPassphrase, nullptr));
  if (!key || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    return absl::FailedPreconditionError(
        path +
        (half == Half::kPrivate
             ? ": must hold an Ed25519 private key in PEM, not encrypted (openssl genpkey -algorithm ed25519)"
             : ": must hold an Ed25519 public key in PEM (openssl pkey -in KEY -pubout)"));
  }
  return key;
}

}  // namespace

Result<Signer> Signer::FromFile(const std::string& path) {
  Result<Key> key = ReadKey(path, Half::kPrivate);
  if (!key.ok()) return key.status();
  return Signer(*std::move(key));
}

std::string Signer::Sign(std::uint64_t seq, std::string_view prev) const {
  const std::string text = TextOf(seq, prev);
  std::array<unsigned char, kSignatureBytes> signature;
  std::size_t size = signature.size();
  const Context context(EVP_MD_CTX_new());
  if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size,
                     reinterpret_cast<const unsigned char*>(text.data()), text.size()) != 1) {
    return {};
  }
  std::array<unsigned char, kBase64Bytes + 1> base64;
  const int length = EVP_EncodeBlock(base64.data(), signature.data(), static_cast<int>(size));
  return std::string(kPrefix).append(reinterpret_cast<const char*>(base64.data()),
                                     static_cast<std::size_t>(length));
}

Result<Verifier> Verifier::FromFile(const std::string& path) {
  Result<Key> key = ReadKey(path, Half::kPublic);
  if (!key.ok()) return key.status();
  return Verifier(*std::move(key));
}

bool Verifier::Verifies(std::uint64_t seq, std::string_view prev, std::string_view signature) const {
  if (!signature.starts_with(kPrefix)) return false;
  signature.remove_prefix(kPrefix.size());
  if (signature.size() != kBase64Bytes) return false;
  std::array<unsigned char, kBase64Bytes> bytes;
  const int length = EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(signature.data()),
                                     static_cast<int>(signature.size()));
  if (length < static_cast<int>(kSignatureBytes)) return false;
  // Base64 that decodes to the signature but is not its one encoding is refused.
  std::array<unsigned char, kBase64Bytes + 1> again;
  EVP_EncodeBlock(again.data(), bytes.data(), kSignatureBytes);
  if (signature != std::string_view(reinterpret_cast<const char*>(again.data()), kBase64Bytes)) return false;
  const std::string text = TextOf(seq, prev);
  const Context context(EVP_MD_CTX_new());
  return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes.data(), kSignatureBytes,
                          reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
}

}  // namespace tokend::audit
