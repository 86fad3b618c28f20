#pragma once

#include "daemon/rpc/caller_call.h"
#include "daemon/rpc/routes.h"

namespace tokend::rpc {

// gRPC's server reflection, v1 and v1alpha, at one listener, for known callers: so that a client without the
// protos finds the API. The services must outlive every call.
void AddReflectionService(const CallServices& services, Routes& routes);

}  // namespace tokend::rpc
