#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"

namespace tokend::rpc {

// What a listener's TLS files hold, in PEM.
struct TlsFiles {
  std::string certificate_chain;
  Secret private_key;
  std::string client_ca;  // empty: client certificates are not asked for

  friend bool operator==(const TlsFiles& a, const TlsFiles& b);
};

// Reads them, and makes sure that they are what they should be and that the key is the certificate's: gRPC
// takes any for an external acceptor and then fails every handshake.
Result<TlsFiles> ReadTlsFiles(const config::ServerTls& paths);

}  // namespace tokend::rpc
