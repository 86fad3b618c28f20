#pragma once

#include <memory>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

struct ssl_ctx_st;
struct ssl_st;

namespace tokend::state {

struct FreeTls {
  void operator()(ssl_ctx_st* settings) const;
  void operator()(ssl_st* session) const;
};
using TlsSettings = std::unique_ptr<ssl_ctx_st, FreeTls>;
using TlsSession = std::unique_ptr<ssl_st, FreeTls>;

// Reads the files of state.redis.tls. An error names the key and the file, and says what to do.
Result<TlsSettings> ReadTls(const config::ClientTls& tls);

// A session over this socket, not begun yet, that takes only a certificate for `host`, a name or an IP
// address.
Result<TlsSession> NewTlsSession(const TlsSettings& settings, int socket, const std::string& host);

// Why a session failed, in fixed words of OpenSSL. Clears OpenSSL's errors of this thread.
Status TlsFailure(const TlsSession& session);

}  // namespace tokend::state
