#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/audit/keys.h"
#include "daemon/config/config.h"
#include "daemon/config/contents.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/rpc/server_settings.h"
#include "daemon/state/redis/secrets.h"
#include "daemon/upstream/api_key.h"
#include "daemon/upstream/central_credentials.h"

namespace tokend::app {

// All that the daemon reads from outside: a configuration, and the contents of the files that it names.
struct Settings {
  config::Config config;
  std::string text_fingerprint;  // of the configuration's file
  upstream::KeyRing api_keys;
  upstream::CentralCredentials central;  // of a relay
  audit::Keys audit_keys;
  rpc::ServerSettings edge;
  std::optional<state::RedisSecrets> redis;  // read at the start alone
  std::vector<std::string> refused;          // whole lines: files that a reload leaves out
};

// Why there are no settings.
struct Rejection {
  // kKey: the configuration is the one in effect, but a file or variable that it names is not usable.
  enum class Of { kConfig, kKey } of = Of::kConfig;
  std::vector<std::string> errors;    // whole lines, without values of keys
  std::vector<std::string> warnings;  // likewise
  std::vector<std::string> files;     // that the rejected configuration names
};

// Reads a configuration and the files and variables that it names. Where one is `running`, keys that are the
// same stay in use, and keys of the configuration that are read at the start alone must be the same. The
// first call comes before there are other threads. `loop` is the daemon's, and outlives the settings. Without
// it this only judges: variables, credentials and URLs are left out, which only the daemon has, and the
// settings cannot serve.
std::variant<Settings, Rejection> ReadSettings(const std::string& path, loop::CurlLoop* loop,
                                               const Settings* running = nullptr);

}  // namespace tokend::app
