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
#include "daemon/base/caller_name.h"
#include "daemon/base/certificates.h"
#include "daemon/base/read_file.h"
#include "daemon/base/secret.h"
#include "daemon/rpc/trial_handshake.h"

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

// Where a session keeps the client certificate that it has refused.
int RefusedIndex() {
  static const int index = SSL_get_ex_new_index(
      0, nullptr, nullptr, nullptr, [](void*, void* certificate, CRYPTO_EX_DATA*, int, long, void*) {
        X509_free(static_cast<X509*>(certificate));
      });
  return index;
}

// OpenSSL's callback for each of its verdicts on a client's chain. It changes none of them.
int KeepRefused(int is_good, X509_STORE_CTX* verification) {
  if (is_good == 1) return is_good;
  auto* const session =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  X509* const shown = X509_STORE_CTX_get0_cert(verification);
  if (shown == nullptr || SSL_get_ex_data(session, RefusedIndex()) != nullptr) return is_good;
  X509_up_ref(shown);
  if (SSL_set_ex_data(session, RefusedIndex(), shown) != 1) X509_free(shown);
  return is_good;
}

std::size_t Count(std::string_view text, std::string_view word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

// Whether clients of some of these authorities may be refused although the file seems to name theirs.
std::vector<std::string> WarningsOf(const std::string& file, std::string_view pem,
                                    const std::vector<Owned<X509>>& authorities) {
  std::vector<std::string> warnings;
  const std::size_t begun = Count(pem, "BEGIN CERTIFICATE-") + Count(pem, "BEGIN X509 CERTIFICATE-") +
                            Count(pem, "BEGIN TRUSTED CERTIFICATE-");
  if (authorities.size() < begun) {
    warnings.push_back(absl::StrCat(file, " begins ", begun, " certificates, and only ", authorities.size(),
                                    " could be read: each BEGIN line must stand alone"));
  }
  for (std::size_t i = 0; i < authorities.size(); ++i) {
    const X509* const one = authorities[i].get();
    const auto differs = [one](const Owned<X509>& other) {
      return X509_NAME_cmp(X509_get_subject_name(one), X509_get_subject_name(other.get())) == 0 &&
             EVP_PKEY_eq(X509_get0_pubkey(one), X509_get0_pubkey(other.get())) != 1;
    };
    if (std::none_of(authorities.begin(), authorities.begin() + static_cast<std::ptrdiff_t>(i), differs))
      continue;
    warnings.push_back(
        absl::StrCat(file, ": certificate ", i + 1,
                     " is a CA with the name of another and a different key: clients of one of "
                     "them may be refused"));
  }
  return warnings;
}

// Clients must present a certificate that one of these authorities has issued. An authority need not be
// self-signed.
bool SetClientAuthorities(SSL_CTX* context, const std::vector<Owned<X509>>& authorities) {
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  for (const Owned<X509>& authority : authorities) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) return false;
    if (SSL_CTX_add_client_CA(context, authority.get()) != 1) return false;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, &KeepRefused);
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

// Nothing if the time cannot be read. The clock covers the years 1678 to 2261: a time outside of them becomes
// the clock's nearest.
std::optional<std::chrono::system_clock::time_point> TimeOf(const ASN1_TIME& time) {
  using Clock = std::chrono::system_clock;
  using Seconds = std::chrono::seconds;
  std::tm utc{};
  if (ASN1_TIME_to_tm(&time, &utc) != 1) return std::nullopt;
  constexpr std::time_t kFirst = std::chrono::ceil<Seconds>(Clock::duration::min()).count();
  constexpr std::time_t kLast = std::chrono::floor<Seconds>(Clock::duration::max()).count();
  return Clock::from_time_t(std::clamp(timegm(&utc), kFirst, kLast));
}

Result<TlsContext::Validity> ValidityOf(const X509& certificate, const std::string& file) {
  const auto not_before = TimeOf(*X509_get0_notBefore(&certificate));
  const auto not_after = TimeOf(*X509_get0_notAfter(&certificate));
  if (not_before && not_after) return TlsContext::Validity{*not_before, *not_after};
  return absl::InvalidArgumentError(absl::StrCat(file, " has a certificate whose dates cannot be read"));
}

// The authorities of clients' certificates, as text; empty if the listener asks for none.
Result<std::string> ReadClientAuthorities(const std::string& file, SSL_CTX* context,
                                          std::vector<std::string>& warnings) {
  if (file.empty()) return "";
  Result<std::string> text = ReadCertificates(file);
  if (!text.ok()) return text;
  const std::vector<Owned<X509>> authorities = ParseCertificates(*text);
  warnings = WarningsOf(file, *text, authorities);
  if (SetClientAuthorities(context, authorities)) return text;
  return absl::InvalidArgumentError(
      absl::StrCat(file, " has a certificate that OpenSSL rejects; create a new one"));
}

constexpr std::size_t kMaxSubjectBytes = 256;

std::string SubjectOf(const X509& certificate) {
  const Owned<BIO> text(BIO_new(BIO_s_mem()));
  if (!text || X509_NAME_print_ex(text.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253) < 0) {
    return "";
  }
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(text.get(), &bytes);
  return {bytes, std::min(static_cast<std::size_t>(size), kMaxSubjectBytes)};
}

// Reads the subject alternative names into `certificate`. False if they cannot be read.
bool ReadAlternativeNames(const X509& from, ClientCertificate& certificate) {
  constexpr int kAbsent = -1;
  int critical = 0;
  const Owned<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&from, NID_subject_alt_name, &critical, nullptr)));
  if (!names && critical != kAbsent) return false;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME& name = *sk_GENERAL_NAME_value(names.get(), i);
    if (name.type == GEN_URI) certificate.uri_sans.push_back(Text(*name.d.uniformResourceIdentifier));
    if (name.type == GEN_DNS) certificate.dns_sans.push_back(Text(*name.d.dNSName));
  }
  return true;
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
  const Result<Validity> validity = ValidityOf(*certificates.front(), paths.certificate_file);
  if (!validity.ok()) return validity.status();
  made->validity_ = *validity;
  const Result<std::string> authorities =
      ReadClientAuthorities(paths.client_ca_file, context, made->warnings_);
  if (!authorities.ok()) return authorities.status();
  if (const Status tried = TryHandshake(made->NewSession()); !tried.ok()) {
    // OpenSSL completes a chain of one certificate by the authorities.
    const bool completes = certificates.size() == 1 && !authorities->empty();
    return absl::InvalidArgumentError(absl::StrCat(
        "every TLS handshake with ", paths.certificate_file, completes ? " and the CA of " : "",
        completes ? paths.client_ca_file : "", " fails: ", tried.message(), "; create new certificates"));
  }
  made->digest_ = DigestOf({*chain, key_pem->Expose(), *authorities});
  return made;
}

SslSession TlsContext::NewSession() const { return SslSession(SSL_new(context_.get())); }

Result<std::optional<ClientCertificate>> ClientCertificateOf(const SSL& session) {
  const X509* const shown = SSL_get0_peer_certificate(&session);
  if (shown == nullptr) return std::optional<ClientCertificate>();
  ClientCertificate certificate;
  const auto not_after = TimeOf(*X509_get0_notAfter(shown));
  if (!not_after) return absl::InvalidArgumentError("the client certificate's expiry cannot be read");
  certificate.not_after = *not_after;
  if (!ReadAlternativeNames(*shown, certificate)) {
    return absl::InvalidArgumentError("the client certificate's subjectAltName cannot be read");
  }
  return std::optional(std::move(certificate));
}

std::string RefusedSubject(const SSL& session) {
  const auto* const refused = static_cast<const X509*>(SSL_get_ex_data(&session, RefusedIndex()));
  if (refused == nullptr) return "";
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  if (std::string subject = SubjectOf(*refused); !subject.empty()) return subject;
  ClientCertificate names;
  ReadAlternativeNames(*refused, names);
  names.uri_sans.insert(names.uri_sans.end(), names.dns_sans.begin(), names.dns_sans.end());
  const bool is_name = names.uri_sans.size() == 1 && IsCallerName(names.uri_sans.front());
  return is_name ? names.uri_sans.front().substr(0, kMaxSubjectBytes) : "";
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
