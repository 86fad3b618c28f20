#pragma once

#include <memory>

#include "daemon/base/current.h"
#include "daemon/rpc/tls_files.h"

namespace grpc {
class ServerCredentials;
}

namespace tokend::rpc {

// Credentials of one server, which they must outlive: over TLS with what is current, or plaintext for null.
// - Each handshake asks what is current: certificate, key and CA change together, and connections that stand
//   stay as they are. Clients must show a certificate that leads to the CA where there is one, and whether
//   there is does not change.
// - A call of a method that is not in methods.h is UNIMPLEMENTED, whatever is registered with the server: it
//   reaches no handler.
std::shared_ptr<grpc::ServerCredentials> MakeCredentials(std::shared_ptr<const Current<TlsFiles>> tls);

}  // namespace tokend::rpc
