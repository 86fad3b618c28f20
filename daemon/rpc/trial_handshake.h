#pragma once

#include "daemon/base/result.h"
#include "daemon/rpc/tls_context.h"

namespace tokend::rpc {

// Makes one TLS handshake in memory between `server` and a client with OpenSSL's defaults, which shows no
// certificate and verifies none. OpenSSL judges some keys and signatures of a chain only while it makes a
// handshake. An error says why it failed, in fixed words of OpenSSL. Any thread.
Status TryHandshake(SslSession server);

}  // namespace tokend::rpc
