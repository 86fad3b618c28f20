#include "daemon/rpc/tls_context.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/certificates.h"
#include "daemon/base/read_file.h"
#include "daemon/base/secret.h"

namespace tokend::rpc {
namespace {

constexpr unsigned char kSessionContext[] = "tokend";

// The cipher suites that HTTP/2 allows (RFC 9113, appendix A). TLS 1.3 has its own list.
constexpr char kTls12Ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

struct Free {
  void operator()(BIO* memory) const { BIO_free(memory); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

Owned<BIO> View(std::string_view pem) {
  return Owned<BIO>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

std::vector<Owned<X509>> ParseCertificates(std::string_view pem) {
  const Owned<BIO> rest = View(pem);
  std::vector<Owned<X509>> certificates;
  while (X509* certificate = PEM_read_bio_X509(rest.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  ERR_clear_error();
  return certificates;
}

Owned<EVP_PKEY> ParseKey(std::string_view pem) {
  return Owned<EVP_PKEY>(PEM_read_bio_PrivateKey(View(pem).get(), nullptr, NoPassphrase, nullptr));
}

// Selects "h2". A client that does not offer it gets the alert no_application_protocol (RFC 7301).
int SelectHttp2(SSL*, const unsigned char** selected, unsigned char* selected_size,
                const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  const int chosen = SSL_select_next_proto(const_cast<unsigned char**>(selected), selected_size, kHttp2,
                                           sizeof(kHttp2), offered, offered_size);
  return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

void SetOptions(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, kTls12Ciphers);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context, kSessionContext, sizeof(kSessionContext) - 1);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_clear_mode(context,
                     SSL_MODE_AUTO_RETRY);  // otherwise one read processes any number of records without data
  SSL_CTX_set_alpn_select_cb(context, &SelectHttp2, nullptr);
}

// Clients must present a certificate that one of these authorities has issued. An authority need not be
// self-signed.
bool SetClientAuthorities(SSL_CTX* context, std::string_view pem) {
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  for (const Owned<X509>& authority : ParseCertificates(pem)) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) return false;
    if (SSL_CTX_add_client_CA(context, authority.get()) != 1) return false;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return true;
}

bool SetChain(SSL_CTX* context, const std::vector<Owned<X509>>& chain) {
  // OpenSSL rejects short keys and weak signatures here.
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) return false;
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return false;
  }
  return true;
}

Sha256Digest DigestOf(const std::vector<std::string_view>& files) {
  std::string digests;
  for (const std::string_view file : files) digests += Sha256Hex(file);
  return Sha256(digests);
}

std::string Text(const ASN1_STRING& name) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(&name)),
          static_cast<std::size_t>(ASN1_STRING_length(&name))};
}

Result<std::chrono::system_clock::time_point> NotAfter(const X509& certificate) {
  std::tm utc{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &utc) != 1) {
    return absl::InvalidArgumentError("the client certificate's expiry cannot be read");
  }
  using Clock = std::chrono::system_clock;
  constexpr std::time_t kLast = std::chrono::floor<std::chrono::seconds>(Clock::duration::max()).count();
  return Clock::from_time_t(
      std::min(timegm(&utc), kLast));  // the clock ends in 2262, certificates may end in 9999
}

}  // namespace

void FreeSsl::operator()(SSL* session) const { SSL_free(session); }
void FreeSsl::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

Result<std::shared_ptr<const TlsContext>> TlsContext::Read(const config::ServerTls& paths) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  const Result<std::string> chain = ReadCertificates(paths.certificate_file);
  if (!chain.ok()) return chain.status();
  const Result<Secret> key_pem = ReadBoundedFile(paths.private_key_file, kMaxPemBytes);
  if (!key_pem.ok()) return key_pem.status();
  const Owned<EVP_PKEY> key = ParseKey(key_pem->Expose());
  if (!key) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths.private_key_file, " must hold an unencrypted private key in PEM"));
  }
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr) return absl::ResourceExhaustedError("there is no memory for TLS");
  std::shared_ptr<TlsContext> made(new TlsContext(context));
  SetOptions(context);
  const std::vector<Owned<X509>> certificates = ParseCertificates(*chain);
  if (!SetChain(context, certificates)) {
    return absl::InvalidArgumentError(absl::StrCat(
        paths.certificate_file,
        " has a key that is too short or a signature that is too weak; create a new certificate"));
  }
  if (X509_check_private_key(certificates.front().get(), key.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(paths.private_key_file, " is not the private key of ", paths.certificate_file));
  }
  std::string authorities;
  if (!paths.client_ca_file.empty()) {
    Result<std::string> read = ReadCertificates(paths.client_ca_file);
    if (!read.ok()) return read.status();
    authorities = *std::move(read);
    if (!SetClientAuthorities(context, authorities)) {
      return absl::InvalidArgumentError(
          absl::StrCat(paths.client_ca_file, " has a certificate that OpenSSL rejects; create a new one"));
    }
  }
  made->digest_ = DigestOf({*chain, key_pem->Expose(), authorities});
  return made;
}

SslSession TlsContext::NewSession() const { return SslSession(SSL_new(context_.get())); }

Result<std::optional<ClientCertificate>> ClientCertificateOf(const SSL& session) {
  const X509* const shown = SSL_get0_peer_certificate(&session);
  if (shown == nullptr) return std::optional<ClientCertificate>();
  ClientCertificate certificate;
  Result<std::chrono::system_clock::time_point> not_after = NotAfter(*shown);
  if (!not_after.ok()) return not_after.status();
  certificate.not_after = *not_after;

  constexpr int kAbsent = -1;
  int critical = 0;
  const Owned<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(shown, NID_subject_alt_name, &critical, nullptr)));
  if (!names && critical != kAbsent) {
    return absl::InvalidArgumentError("the client certificate's subjectAltName cannot be read");
  }
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME& name = *sk_GENERAL_NAME_value(names.get(), i);
    if (name.type == GEN_URI) certificate.uri_sans.push_back(Text(*name.d.uniformResourceIdentifier));
    if (name.type == GEN_DNS) certificate.dns_sans.push_back(Text(*name.d.dNSName));
  }
  return std::optional(std::move(certificate));
}

std::string HandshakeError(const SSL& session) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  const long verified = SSL_get_verify_result(&session);
  if (verified != X509_V_OK) {
    return absl::StrCat("verify ", verified, " ", X509_verify_cert_error_string(verified));
  }
  const char* const reason = ERR_reason_error_string(ERR_peek_error());
  return reason != nullptr ? reason : "the connection was closed";
}

}  // namespace tokend::rpc
