#pragma once

#include "daemon/app/reloader.h"

namespace tokend::app {

// Reloads when SIGHUP comes and when one of the configuration's files changes. Returns when SIGTERM or SIGINT
// comes. Call BlockSignals first. Main thread.
void ReloadUntilStop(Reloader& reloader);

}  // namespace tokend::app
