#pragma once

#include "daemon/rpc/authenticated_call.h"
#include "daemon/rpc/routes.h"

namespace tokend::rpc {

// Serves tokend.v1.TokenService at one listener. No other code of rpc/ sends a bearer. The services must
// outlive every call.
void AddTokenService(const CallServices& services, Routes& routes);

}  // namespace tokend::rpc
