#pragma once

#include "daemon/rpc/caller_call.h"
#include "daemon/rpc/routes.h"

namespace tokend::rpc {

// tokend.v1.TokenService at one listener. The only place where a bearer is exposed to a caller. The services
// must outlive every call.
void AddTokenService(const CallServices& services, Routes& routes);

}  // namespace tokend::rpc
