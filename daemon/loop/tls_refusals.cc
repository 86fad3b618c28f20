#include "daemon/loop/tls_refusals.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace tokend::loop {
namespace {

// The alerts by which a server refuses a certificate (RFC 8446, 6.2). By decrypt_error a server says that the
// signature of the certificate is wrong.
constexpr std::array kRefusals = {
    SSL3_AD_HANDSHAKE_FAILURE,    SSL3_AD_BAD_CERTIFICATE,     SSL3_AD_UNSUPPORTED_CERTIFICATE,
    SSL3_AD_CERTIFICATE_REVOKED,  SSL3_AD_CERTIFICATE_EXPIRED, SSL3_AD_CERTIFICATE_UNKNOWN,
    TLS1_AD_UNKNOWN_CA,           TLS1_AD_ACCESS_DENIED,       TLS1_AD_DECRYPT_ERROR,
    TLS13_AD_CERTIFICATE_REQUIRED};

int ContextIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// The place in a session where this class notes that it has seen the session.
int SessionIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

void TlsRefusals::Observe(ssl_ctx_st* context) {
  SSL_CTX_set_ex_data(context, ContextIndex(), this);
  SSL_CTX_set_info_callback(context, &OnState);
  SSL_CTX_set_msg_callback(context, &OnMessage);
  SSL_CTX_set_msg_callback_arg(context, this);
}

void TlsRefusals::OnState(const ssl_st* session, int where, int value) {
  auto* const self = static_cast<TlsRefusals*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(session), ContextIndex()));
  // An earlier session may have had this address. SSL_CB_HANDSHAKE_START does not show a new session: OpenSSL
  // reports it for messages after the handshake too.
  if (SSL_get_ex_data(session, SessionIndex()) == nullptr) {
    SSL_set_ex_data(const_cast<SSL*>(session), SessionIndex(), self);
    self->sessions_[session] = {};
  }
  // Before TLS 1.3 a client sends no request until the server has accepted its certificate.
  if (SSL_version(session) != TLS1_3_VERSION) return;
  constexpr int kByte = 8;
  if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value >> kByte) == SSL3_AL_FATAL) {
    self->sessions_[session].alert = value & 0xFF;
  }
}

void TlsRefusals::OnMessage(int is_sent, int, int content_type, const void* bytes, std::size_t size,
                            ssl_st* session, void* self) {
  if (is_sent != 0 || content_type != SSL3_RT_INNER_CONTENT_TYPE || size != 1) return;
  if (*static_cast<const unsigned char*>(bytes) != SSL3_RT_APPLICATION_DATA) return;
  static_cast<TlsRefusals*>(self)->sessions_[session].served = true;
}

const char* TlsRefusals::WhyRefused(const ssl_st* session) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end() || found->second.served) return nullptr;
  const int alert = found->second.alert;
  if (std::ranges::find(kRefusals, alert) == kRefusals.end()) return nullptr;
  // SSL_alert_desc_string_long does not know the alerts of TLS 1.3.
  const char* const words = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + alert));
  return words != nullptr ? words : "alert";
}

}  // namespace tokend::loop
