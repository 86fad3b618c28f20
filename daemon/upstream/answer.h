#pragma once

#include "daemon/base/mint_outcome.h"
#include "daemon/loop/http_client.h"
#include "daemon/upstream/upstream.h"

namespace tokend::upstream {

// What an answer to the POST for `request` means, by its HTTP status and numeric error code alone. The
// upstream's texts are used nowhere. Pure. The caller sets the exchange's key_generation.
MintOutcome Judge(const loop::HttpAnswer& answer, const MintRequest& request);

}  // namespace tokend::upstream
