#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace tokend::client {

struct Identity {
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;

  std::string CertificatePem() const {
    return Pem([&](BIO* out) { PEM_write_bio_X509(out, certificate.get()); });
  }
  std::string KeyPem() const {
    return Pem(
        [&](BIO* out) { PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
  }
  std::string EncryptedKeyPem() const {
    return Pem([&](BIO* out) {
      PEM_write_bio_PrivateKey(out, key.get(), EVP_aes_256_cbc(),
                               reinterpret_cast<const unsigned char*>("pass"), 4, nullptr, nullptr);
    });
  }

 private:
  template <class Write>
  static std::string Pem(Write write) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
    write(out.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }
};

// Makes a certificate with a new key, valid for an hour. `issuer` signs it; without one it is a self-signed
// CA. `san` has OpenSSL's form, such as "IP:127.0.0.1" or "URI:spiffe://…".
inline Identity MakeIdentity(const std::string& san, const Identity* issuer = nullptr) {
  Identity made{{X509_new(), &X509_free}, {EVP_EC_gen("P-256"), &EVP_PKEY_free}};
  X509* certificate = made.certificate.get();
  static long serial = 0;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_set_version(certificate, X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(issuer ? "leaf" : "ca"), -1, -1, 0);
  const Identity& signer = issuer ? *issuer : made;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer.certificate.get()));
  const auto add = [&](int nid, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  };
  add(NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
  add(NID_subject_alt_name, san.c_str());
  X509_sign(certificate, signer.key.get(), EVP_sha256());
  return made;
}

}  // namespace tokend::client
