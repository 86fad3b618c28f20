#include "daemon/state/redis/tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/certificates.h"
#include "daemon/base/read_file.h"
#include "daemon/base/text.h"
#include "daemon/config/contents.h"

namespace tokend::state {
namespace {

constexpr char kCaFile[] = "state.redis.tls.ca_file";
constexpr char kCertificateFile[] = "state.redis.tls.certificate_file";
constexpr char kPrivateKeyFile[] = "state.redis.tls.private_key_file";

struct FreeParts {
  void operator()(BIO* memory) const { BIO_free(memory); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <class T>
using OwnedPart = std::unique_ptr<T, FreeParts>;

OwnedPart<BIO> PemOf(std::string_view text) {
  return OwnedPart<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

OwnedPart<X509> NextCertificate(BIO& pem) {
  return OwnedPart<X509>(PEM_read_bio_X509(&pem, nullptr, nullptr, nullptr));
}

Status Unusable(const char* key, std::initializer_list<std::string_view> why) {
  return config::AtKey(key, absl::InvalidArgumentError(Concat(why)));
}

Status NoTls() { return absl::UnavailableError("there is no memory for TLS with Redis"); }

void SetProtocol(SSL_CTX* settings) {
  SSL_CTX_set_min_proto_version(settings, TLS1_2_VERSION);
  SSL_CTX_set_options(settings, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CLEANSE_PLAINTEXT |
                                    SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(settings, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(settings, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(settings, SSL_VERIFY_PEER, nullptr);
}

Status SetAuthorities(SSL_CTX* settings, const std::string& ca_file) {
  if (ca_file.empty()) return SSL_CTX_set_default_verify_paths(settings) == 1 ? absl::OkStatus() : NoTls();
  const Result<std::string> read = ReadCertificates(ca_file);
  if (!read.ok()) return config::AtKey(kCaFile, read.status());
  X509_STORE* const store = SSL_CTX_get_cert_store(settings);
  // An authority need not be self-signed.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  const OwnedPart<BIO> pem = PemOf(*read);
  while (const OwnedPart<X509> authority = NextCertificate(*pem)) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) {
      return Unusable(kCaFile, {ca_file, " has a certificate that OpenSSL rejects; create a new one"});
    }
  }
  return absl::OkStatus();
}

Status SetIdentity(SSL_CTX* settings, const config::ClientTls& tls) {
  const Result<std::string> chain = ReadCertificates(tls.certificate_file);
  if (!chain.ok()) return config::AtKey(kCertificateFile, chain.status());
  const Result<Secret> key_pem = ReadBoundedFile(tls.private_key_file, kMaxPemBytes, Secrecy::kSecret);
  if (!key_pem.ok()) return config::AtKey(kPrivateKeyFile, key_pem.status());
  const OwnedPart<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(PemOf(key_pem->Expose()).get(), nullptr, NoPassphrase, nullptr));
  if (!key)
    return Unusable(kPrivateKeyFile, {tls.private_key_file, " must hold an unencrypted private key in PEM"});
  const OwnedPart<BIO> pem = PemOf(*chain);
  const OwnedPart<X509> leaf = NextCertificate(*pem);
  // OpenSSL rejects short keys and weak signatures here.
  bool accepted = leaf && SSL_CTX_use_certificate(settings, leaf.get()) == 1;
  while (const OwnedPart<X509> issuer = NextCertificate(*pem)) {
    accepted = accepted && SSL_CTX_add1_chain_cert(settings, issuer.get()) == 1;
  }
  if (!accepted) {
    return Unusable(kCertificateFile, {tls.certificate_file,
                                       " has a key that is too short or a signature that is "
                                       "too weak; create a new certificate"});
  }
  if (X509_check_private_key(leaf.get(), key.get()) != 1 ||
      SSL_CTX_use_PrivateKey(settings, key.get()) != 1) {
    return Unusable(kPrivateKeyFile,
                    {tls.private_key_file, " is not the private key of ", tls.certificate_file});
  }
  return absl::OkStatus();
}

bool IsIpAddress(const std::string& host) {
  in_addr ipv4{};
  in6_addr ipv6{};
  return inet_pton(AF_INET, host.c_str(), &ipv4) == 1 || inet_pton(AF_INET6, host.c_str(), &ipv6) == 1;
}

}  // namespace

void FreeTls::operator()(ssl_ctx_st* settings) const { SSL_CTX_free(settings); }
void FreeTls::operator()(ssl_st* session) const { SSL_free(session); }

Result<TlsSettings> ReadTls(const config::ClientTls& tls) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  TlsSettings settings(SSL_CTX_new(TLS_client_method()));
  if (!settings) return NoTls();
  SetProtocol(settings.get());
  if (Status set = SetAuthorities(settings.get(), tls.ca_file); !set.ok()) return set;
  if (!tls.certificate_file.empty()) {
    if (Status set = SetIdentity(settings.get(), tls); !set.ok()) return set;
  }
  return settings;
}

Result<TlsSession> NewTlsSession(const TlsSettings& settings, int socket, const std::string& host) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  TlsSession session(SSL_new(settings.get()));
  if (!session || SSL_set_fd(session.get(), socket) != 1) return NoTls();
  X509_VERIFY_PARAM* const verify = SSL_get0_param(session.get());
  X509_VERIFY_PARAM_set_hostflags(verify,
                                  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const bool named = IsIpAddress(host)
                         ? X509_VERIFY_PARAM_set1_ip_asc(verify, host.c_str()) == 1
                         : X509_VERIFY_PARAM_set1_host(verify, host.c_str(), host.size()) == 1 &&
                               SSL_set_tlsext_host_name(session.get(), host.c_str()) == 1;
  if (!named) return NoTls();
  return session;
}

Status TlsFailure(const TlsSession& session) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  const long verified = SSL_get_verify_result(session.get());
  const char* reason = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                                             : ERR_reason_error_string(ERR_peek_error());
  if (reason == nullptr) reason = "the connection was closed";
  return absl::UnavailableError(Concat({"TLS with Redis failed: ", reason}));
}

}  // namespace tokend::state
