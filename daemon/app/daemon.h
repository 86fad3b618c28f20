#pragma once

#include <string>

#include "daemon/app/settings.h"
#include "daemon/base/result.h"

namespace tokend::app {

// The signals that Run waits for. Call before there are other threads: they inherit what is blocked here.
void BlockSignals();

// The daemon, from start to stop: builds the parts in the order in which a request meets them, serves until
// SIGTERM or SIGINT, drains, and stops the parts in reverse. Meanwhile it reads `path`, and what that names,
// again on SIGHUP and whenever one of the files changes. Returns why it could not start, or OK once it has
// stopped. Main thread.
Status Run(const std::string& path, Settings settings);

}  // namespace tokend::app
