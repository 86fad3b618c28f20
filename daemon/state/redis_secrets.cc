#include "daemon/state/redis_secrets.h"

#include <string>
#include <utility>

#include "daemon/base/key_file.h"
#include "daemon/state/sealer.h"

namespace tokend::state {

Result<RedisSecrets> ReadRedisSecrets(const config::RedisState& config) {
  RedisSecrets secrets;
  if (!config.password_file.empty()) {
    Result<Secret> password = ReadKeyFile(config.password_file);
    if (!password.ok()) return password.status();
    secrets.password = *std::move(password);
  }
  Result<Secret> key = ReadSecretFile(config.encryption_key_file);
  if (!key.ok()) return key.status();
  if (key->size() != Sealer::kKeyBytes) {
    return absl::InvalidArgumentError(config.encryption_key_file +
                                      ": must hold 32 bytes (head -c 32 /dev/urandom makes them)");
  }
  secrets.encryption_key = *std::move(key);
  return secrets;
}

}  // namespace tokend::state
