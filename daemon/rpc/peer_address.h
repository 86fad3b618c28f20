#pragma once

#include "daemon/base/result.h"
#include "daemon/rpc/call_handler.h"

namespace tokend::rpc {

// Who has connected to a socket that was accepted, by the kernel's word. An error: the connection is gone.
Result<Peer> PeerOf(int socket);

}  // namespace tokend::rpc
