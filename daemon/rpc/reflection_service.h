#pragma once

#include "daemon/rpc/authenticated_call.h"
#include "daemon/rpc/routes.h"

namespace tokend::rpc {

// Serves gRPC's server reflection, v1 and v1alpha, at one listener, for authenticated callers: clients
// without the .proto files can discover the API. The services must outlive every call.
void AddReflectionService(const CallServices& services, Routes& routes);

}  // namespace tokend::rpc
