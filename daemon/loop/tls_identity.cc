#include "daemon/loop/tls_identity.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/certificates.h"

namespace tokend::loop {
namespace {

using Pem = std::unique_ptr<BIO, decltype(&BIO_free)>;

Pem PemView(std::string_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

}  // namespace

void TlsIdentity::Free::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }
void TlsIdentity::Free::operator()(x509_st* certificate) const { X509_free(certificate); }

Status TlsIdentity::SetChain(std::string_view certificates) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  const Pem pem = PemView(certificates);
  chain_.clear();
  while (X509* certificate = PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr)) {
    chain_.emplace_back(certificate);
  }
  if (chain_.empty()) return absl::InvalidArgumentError("must hold a certificate in PEM");
  // OpenSSL rejects short keys and weak signatures here.
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> trial(SSL_CTX_new(TLS_client_method()),
                                                                &SSL_CTX_free);
  bool accepted = trial != nullptr && SSL_CTX_use_certificate(trial.get(), chain_.front().get()) == 1;
  for (std::size_t i = 1; i < chain_.size(); ++i) {
    accepted = accepted && SSL_CTX_add1_chain_cert(trial.get(), chain_[i].get()) == 1;
  }
  if (accepted) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "has a key that is too short or a signature that is too weak; create a new certificate");
}

Status TlsIdentity::SetPrivateKey(const Secret& key) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  const Pem pem = PemView(key.Expose());
  private_key_.reset(PEM_read_bio_PrivateKey(pem.get(), nullptr, NoPassphrase, nullptr));
  if (!private_key_) return absl::InvalidArgumentError("must hold an unencrypted private key in PEM");
  if (!chain_.empty() && X509_check_private_key(chain_.front().get(), private_key_.get()) == 1) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("is not the private key of the certificate");
}

bool TlsIdentity::Use(ssl_ctx_st* context) const {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  if (SSL_CTX_use_certificate(context, chain_.front().get()) != 1) return false;
  for (std::size_t i = 1; i < chain_.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain_[i].get()) != 1) return false;
  }
  return SSL_CTX_use_PrivateKey(context, private_key_.get()) == 1;
}

}  // namespace tokend::loop
