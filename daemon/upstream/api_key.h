#pragma once

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"

namespace tokend::upstream {

// The API key that the configuration names, fit to stand in an HTTP header. Call before there are other
// threads: an environment variable is overwritten as it is read. An error names the source and what to do,
// never what was read.
Result<ApiKey> LoadApiKey(const config::KeySource& source);

}  // namespace tokend::upstream
