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
  TestAuthority() : TestAuthority(EVP_EC_gen("P-256")) {}

  // Its own key is RSA of 1024 bits, which every peer should refuse.
  static TestAuthority WithShortKey() { return TestAuthority(EVP_RSA_gen(1024)); }

  // Its own certificate, in PEM.
  std::string certificate() const;

  // Issues a certificate with these subject alternative names, in OpenSSL's form: "URI:spiffe://a/b,DNS:c".
  // With "", the certificate has none.
  Identity Issue(const std::string& names, std::chrono::seconds valid_for = std::chrono::hours(1)) const;

  // Issues a certificate with an RSA key of 1024 bits, which every peer should refuse.
  Identity IssueWithShortKey(const std::string& names) const;

  // Issues a certificate with an EC key on the curve secp256k1, which TLS 1.3 does not know.
  Identity IssueOnUnknownCurve(const std::string& names) const;

  // Issues a certificate that is signed with SHA-1.
  Identity IssueWeaklySigned(const std::string& names) const;

  // Issues a certificate that is valid from now + `after` on.
  Identity IssueForLater(const std::string& names, std::chrono::seconds after) const;

  // Issues a certificate that is not for clients.
  Identity IssueForServers(const std::string& names) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Certificate = std::unique_ptr<X509, Free>;

  struct Contents {
    const char* subject = "tests";
    const char* constraints = "critical,CA:FALSE";
    std::string names = {};
    const char* usage = nullptr;                               // extendedKeyUsage; null: any
    std::chrono::seconds valid_from = std::chrono::hours(-1);  // from now on, as is:
    std::chrono::seconds valid_until = std::chrono::hours(1);
    const EVP_MD* digest = EVP_sha256();
  };

  explicit TestAuthority(EVP_PKEY* key);

  Identity IssueTo(EVP_PKEY* key, const Contents& contents) const;
  Certificate Make(EVP_PKEY* subject_key, const Contents& contents) const;

  Key key_;
  Certificate certificate_;
};

}  // namespace tokend::fakes
