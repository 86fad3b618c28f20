#pragma once

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"

namespace tokend::state {

struct RedisSecrets {
  Secret password;        // empty: Redis asks for none
  Secret encryption_key;  // Sealer::kKeyBytes
};

// Reads the files that the configuration names. An error names the file and says what to do.
Result<RedisSecrets> ReadRedisSecrets(const config::RedisState& redis);

}  // namespace tokend::state
