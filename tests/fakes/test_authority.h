#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <chrono>
#include <memory>
#include <string>

namespace tokend::fakes {

// A certificate with its key, in PEM.
struct Identity {
  std::string certificate;
  std::string private_key;
};

// A certificate authority for tests.
class TestAuthority {
 public:
  TestAuthority();

  // Its own certificate, in PEM.
  std::string certificate() const;

  // Issues a certificate with these subject alternative names, in OpenSSL's form: "URI:spiffe://a/b,DNS:c".
  // With "", the certificate has none.
  Identity Issue(const std::string& names, std::chrono::seconds valid_for = std::chrono::hours(1)) const;

  // Issues a certificate with an RSA key of 1024 bits, which every peer should refuse.
  Identity IssueWithShortKey(const std::string& names) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Certificate = std::unique_ptr<X509, Free>;

  Identity IssueTo(EVP_PKEY* key, const std::string& names, std::chrono::seconds valid_for) const;
  Certificate Make(EVP_PKEY* subject_key, const char* subject, const char* constraints,
                   const std::string& names, std::chrono::seconds valid_for) const;

  Key key_;
  Certificate certificate_;
};

}  // namespace tokend::fakes
