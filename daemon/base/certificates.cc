#include "daemon/base/certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string_view>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/read_file.h"

namespace tokend {
namespace {

// Whether the text holds at least one certificate and every certificate in it can be read.
bool AreCertificates(std::string_view pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> rest(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  std::size_t count = 0;
  while (X509* certificate = PEM_read_bio_X509(rest.get(), nullptr, nullptr, nullptr)) {
    X509_free(certificate);
    ++count;
  }
  return count > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

}  // namespace

Result<std::string> ReadCertificates(const std::string& path) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  const Result<Secret> pem = ReadBoundedFile(path, kMaxPemBytes);
  if (!pem.ok()) return pem.status();
  if (!AreCertificates(pem->Expose())) {
    return absl::InvalidArgumentError(path + " must hold one or more complete certificates in PEM");
  }
  return std::string(pem->Expose());
}

}  // namespace tokend
