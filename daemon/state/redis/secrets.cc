#include "daemon/state/redis/secrets.h"

#include <utility>

#include "daemon/base/key_file.h"
#include "daemon/config/contents.h"
#include "daemon/state/redis/sealer.h"
#include "daemon/state/redis/tls.h"

namespace tokend::state {

Result<RedisSecrets> ReadRedisSecrets(const config::RedisState& redis) {
  RedisSecrets secrets;
  if (!redis.password_file.empty()) {
    const Result<Secret> password = ReadKeyFile(redis.password_file);
    if (!password.ok()) return config::AtKey("state.redis.password_file", password.status());
  }
  if (redis.tls) {
    const Result<TlsSettings> tls = ReadTls(*redis.tls);
    if (!tls.ok()) return tls.status();
  }
  constexpr char kEncryptionKey[] = "state.redis.encryption_key_file";
  Result<Secret> key = ReadSecretFile(redis.encryption_key_file);
  if (!key.ok()) return config::AtKey(kEncryptionKey, key.status());
  if (key->size() != Sealer::kKeyBytes) {
    return config::AtKey(kEncryptionKey, absl::InvalidArgumentError(
                                             redis.encryption_key_file +
                                             ": must hold 32 bytes (head -c 32 /dev/urandom makes them)"));
  }
  secrets.encryption_key = *std::move(key);
  return secrets;
}

}  // namespace tokend::state
