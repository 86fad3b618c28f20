#include "daemon/rpc/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/certificates.h"
#include "daemon/base/read_file.h"

namespace tokend::rpc {
namespace {

constexpr std::size_t kMaxPemBytes = std::size_t{1} << 20U;

struct Free {
  void operator()(BIO* memory) const { BIO_free(memory); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

Owned<BIO> View(std::string_view pem) {
  return Owned<BIO>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// The first one.
Owned<X509> ParseCertificate(std::string_view pem) {
  return Owned<X509>(PEM_read_bio_X509(View(pem).get(), nullptr, nullptr, nullptr));
}

// Whether a handshake can be made with it: OpenSSL refuses short keys and weak signatures.
bool IsStrongEnough(X509* certificate) {
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_server_method()));
  return context && SSL_CTX_use_certificate(context.get(), certificate) == 1;
}

// Never asks anyone for a passphrase: an encrypted key is none.
Owned<EVP_PKEY> ParseKey(std::string_view pem) {
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  return Owned<EVP_PKEY>(PEM_read_bio_PrivateKey(View(pem).get(), nullptr, no_passphrase, nullptr));
}

}  // namespace

bool operator==(const TlsFiles& a, const TlsFiles& b) {
  return a.certificate_chain == b.certificate_chain && a.client_ca == b.client_ca &&
         a.private_key.size() == b.private_key.size() &&
         CRYPTO_memcmp(a.private_key.Expose().data(), b.private_key.Expose().data(), a.private_key.size()) ==
             0;
}

Result<TlsFiles> ReadTlsFiles(const config::ServerTls& paths) {
  absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  TlsFiles files;
  Result<std::string> chain = ReadCertificates(paths.certificate_file);
  if (!chain.ok()) return chain.status();
  files.certificate_chain = *std::move(chain);

  Result<Secret> key_pem = ReadBoundedFile(paths.private_key_file, kMaxPemBytes);
  if (!key_pem.ok()) return key_pem.status();
  files.private_key = *std::move(key_pem);
  const Owned<EVP_PKEY> key = ParseKey(files.private_key.Expose());
  if (!key) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths.private_key_file, " must hold a private key in PEM, not encrypted"));
  }
  const Owned<X509> certificate = ParseCertificate(files.certificate_chain);
  if (!IsStrongEnough(certificate.get())) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths.certificate_file, " has too short a key or too weak a signature; make another"));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths.private_key_file, " is not the private key of ", paths.certificate_file));
  }

  if (!paths.client_ca_file.empty()) {
    Result<std::string> ca = ReadCertificates(paths.client_ca_file);
    if (!ca.ok()) return ca.status();
    files.client_ca = *std::move(ca);
  }
  return files;
}

}  // namespace tokend::rpc
