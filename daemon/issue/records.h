#pragma once

#include <string_view>

#include "daemon/audit/audit_log.h"
#include "daemon/base/caller.h"
#include "daemon/base/failure.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/base/token_outcome.h"
#include "daemon/issue/request_context.h"

// The audit log's records of requests.
namespace tokend::issue {

// A record of a caller that has made no request. `on_behalf_of`: a relay's own caller, or empty.
audit::Record RecordOf(const Caller& caller, std::string_view on_behalf_of);

// A record of a request: its caller, its target, its request_id and the configuration. Once a grant has been
// found the target is what would be minted, before that what was asked for.
audit::Record RecordOf(const RequestContext& context);

// Whose allowance of distinct records a refused call uses. Null: its caller is unknown.
Allowance AllowanceOf(const ConfigSnapshot& config, const Caller* caller);

// The request.* event of a call that ended before an intent.
const char* EventOf(Reason reason);

// The token.* event of an attempt or a replay.
const char* EventOf(TokenOutcome outcome);

// Adds why the request failed.
void Describe(const Failure& failure, audit::Record& record);

// Adds what was sent to the upstream and what it answered.
void Describe(const UpstreamExchange& exchange, audit::Record& record);

// What a call fails with whose record could not be written.
Failure AuditUnavailable(const char* detail);

}  // namespace tokend::issue
