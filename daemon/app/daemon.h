#pragma once

#include <string>

#include "daemon/app/settings.h"
#include "daemon/base/result.h"
#include "daemon/loop/curl_loop.h"

namespace tokend::app {

// The daemon, from start to stop: builds the parts in the order in which a request meets them, serves until
// SIGTERM or SIGINT, drains, and stops the parts in reverse. Meanwhile it reads `path`, and the files that
// the configuration names, again on SIGHUP and whenever one of them changes. Returns why it could not start,
// or OK once it has stopped. BlockSignals comes first. `loop` has not been started, and is stopped when this
// returns. Main thread.
Status Run(const std::string& path, Settings settings, loop::CurlLoop& loop);

}  // namespace tokend::app
