#pragma once

#include <string_view>

#include "daemon/audit/audit_log.h"
#include "daemon/base/caller.h"
#include "daemon/base/decision.h"
#include "daemon/base/failure.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/base/token_request.h"

// What the audit log is told of a request.
namespace tokend::issue {

// Who asked, for what, and by which id: the beginning of every record of a request.
audit::Record RecordOf(const Caller& caller, const TokenRequest& request);

// The same for a request that a grant covers: its target is what would be minted.
audit::Record RecordOf(const Caller& caller, const TokenRequest& request, const Permitted& permitted);

// A caller that made no request.
audit::Record RecordOf(const Caller& caller);

// The request.* event for a call that ended before an intent.
const char* EventOf(Reason reason);

// Why it failed.
void Describe(const Failure& failure, audit::Record& record);

// What upstream said.
void Describe(const UpstreamExchange& exchange, audit::Record& record);

}  // namespace tokend::issue
