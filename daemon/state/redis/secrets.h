#pragma once

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"

namespace tokend::state {

struct RedisSecrets {
  Secret encryption_key;  // Sealer::kKeyBytes
};

// Reads the files that the configuration names, and judges those that are read again at each attempt to
// connect. An error names the file and says what to do.
Result<RedisSecrets> ReadRedisSecrets(const config::RedisState& redis);

}  // namespace tokend::state
