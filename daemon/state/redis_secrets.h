#pragma once

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"

namespace tokend::state {

struct RedisSecrets {
  Secret password;        // empty: none is asked for
  Secret encryption_key;  // Sealer::kKeyBytes
};

// What the files hold that the configuration names. Errors name the file and what to do.
Result<RedisSecrets> ReadRedisSecrets(const config::RedisState& redis);

}  // namespace tokend::state
