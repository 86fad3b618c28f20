#pragma once

#include "daemon/base/mint_outcome.h"
#include "daemon/loop/http_client.h"
#include "daemon/upstream/upstream.h"

namespace tokend::upstream {

// What an answer to the POST for `request` means. By HTTP status and numeric error code alone; the upstream's
// texts go nowhere. Pure. The exchange's key_generation is left to the caller.
MintOutcome Judge(const loop::HttpAnswer& answer, const MintRequest& request);

}  // namespace tokend::upstream
