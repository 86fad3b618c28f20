#pragma once

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/upstream/api_key.h"

namespace tokend::app {

// The signals that Run waits for. Call before there are other threads: they inherit what is blocked here.
void BlockSignals();

// The daemon, from start to stop: builds the parts in the order in which a request meets them, serves until
// SIGTERM or SIGINT, drains, and stops the parts in reverse. Returns why it could not start, or OK once it
// has stopped. Main thread.
Status Run(const config::Config& config, const upstream::KeyRing& keys);

}  // namespace tokend::app
