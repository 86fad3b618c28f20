#include "tests/fakes/test_authority.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <functional>

namespace tokend::fakes {
namespace {

void Require(bool done) {
  if (!done) std::abort();
}

std::string Pem(const std::function<int(BIO*)>& write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), &BIO_free);
  Require(write(memory.get()) == 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

void AddExtension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  Require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestAuthority::TestAuthority(EVP_PKEY* key) : key_(key) {
  certificate_ = Make(key, {.subject = "tests CA", .constraints = "critical,CA:TRUE"});
}

std::string TestAuthority::certificate() const {
  return Pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate_.get()); });
}

Identity TestAuthority::Issue(const std::string& names, std::chrono::seconds valid_for) const {
  return IssueTo(Key(EVP_EC_gen("P-256")).get(), {.names = names, .valid_until = valid_for});
}

Identity TestAuthority::IssueWithShortKey(const std::string& names) const {
  return IssueTo(Key(EVP_RSA_gen(1024)).get(), {.names = names});
}

Identity TestAuthority::IssueOnUnknownCurve(const std::string& names) const {
  return IssueTo(Key(EVP_EC_gen("secp256k1")).get(), {.names = names});
}

Identity TestAuthority::IssueWeaklySigned(const std::string& names) const {
  return IssueTo(Key(EVP_EC_gen("P-256")).get(), {.names = names, .digest = EVP_sha1()});
}

Identity TestAuthority::IssueForLater(const std::string& names, std::chrono::seconds after) const {
  return IssueTo(Key(EVP_EC_gen("P-256")).get(),
                 {.names = names, .valid_from = after, .valid_until = after + std::chrono::hours(1)});
}

Identity TestAuthority::IssueForServers(const std::string& names) const {
  return IssueTo(Key(EVP_EC_gen("P-256")).get(), {.names = names, .usage = "serverAuth"});
}

Identity TestAuthority::IssueTo(EVP_PKEY* key, const Contents& contents) const {
  const Certificate certificate = Make(key, contents);
  return {Pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate.get()); }), Pem([&](BIO* out) {
            return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

TestAuthority::Certificate TestAuthority::Make(EVP_PKEY* subject_key, const Contents& contents) const {
  Certificate certificate(X509_new());
  X509* made = certificate.get();
  X509* issuer = certificate_ ? certificate_.get() : made;
  Require(X509_set_version(made, X509_VERSION_3) == 1);
  Require(ASN1_INTEGER_set(X509_get_serialNumber(made), 1) == 1);
  X509_gmtime_adj(X509_getm_notBefore(made), contents.valid_from.count());
  X509_gmtime_adj(X509_getm_notAfter(made), contents.valid_until.count());
  Require(X509_set_pubkey(made, subject_key) == 1);
  const auto* subject = reinterpret_cast<const unsigned char*>(contents.subject);
  Require(X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, subject, -1, -1, 0) ==
          1);
  Require(X509_set_issuer_name(made, X509_get_subject_name(issuer)) == 1);
  AddExtension(made, issuer, NID_basic_constraints, contents.constraints);
  if (!contents.names.empty()) AddExtension(made, issuer, NID_subject_alt_name, contents.names);
  if (contents.usage != nullptr) AddExtension(made, issuer, NID_ext_key_usage, contents.usage);
  Require(X509_sign(made, key_.get(), contents.digest) > 0);
  return certificate;
}

}  // namespace tokend::fakes
