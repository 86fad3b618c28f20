#pragma once

#include <memory>

#include "daemon/base/current.h"
#include "daemon/rpc/tls_files.h"

namespace grpc {
class ServerCredentials;
}

namespace tokend::rpc {

// Credentials of one server, which asks at each handshake what is current: certificate, key and CA change
// together, and connections that stand stay as they are. Asks clients for a certificate that leads to the CA
// if there is a CA now. They must outlive their server.
std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(std::shared_ptr<const Current<TlsFiles>> current);

}  // namespace tokend::rpc
