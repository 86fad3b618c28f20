#pragma once

#include "daemon/base/result.h"
#include "daemon/rpc/call_handler.h"

namespace tokend::rpc {

// Asks the kernel who has connected to an accepted socket. Fails if the connection is closed already.
Result<Peer> PeerOf(int socket);

}  // namespace tokend::rpc
