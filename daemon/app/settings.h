#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/audit/keys.h"
#include "daemon/config/config.h"
#include "daemon/config/contents.h"
#include "daemon/rpc/server_settings.h"
#include "daemon/state/redis_secrets.h"
#include "daemon/upstream/api_key.h"

namespace tokend::app {

// All that the daemon reads from outside: a configuration, and what the files hold that it names.
struct Settings {
  config::Config config;
  std::string text_fingerprint;  // of the configuration's file
  upstream::KeyRing api_keys;
  audit::Keys audit_keys;
  rpc::ServerSettings edge;
  std::optional<state::RedisSecrets> redis;  // read at the start alone
};

// Why there are none.
struct Rejection {
  // kKey: the configuration is the one in effect, and what it names is not usable.
  enum class Of { kConfig, kKey } of = Of::kConfig;
  std::vector<std::string> errors;    // whole lines, which quote no value
  std::vector<std::string> warnings;  // likewise
  std::vector<std::string> files;     // that the rejected configuration names
};

// Reads a configuration and all that it names. Where one is `running`, keys that are the same go on as they
// are, and what is read at the start alone must be the same. The first call comes before there are other
// threads. What is read of files alone is for judging, not for serving.
std::variant<Settings, Rejection> ReadSettings(const std::string& path, const Settings* running = nullptr,
                                               config::Contents contents = config::Contents::kAll);

}  // namespace tokend::app
