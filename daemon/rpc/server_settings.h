#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/config/contents.h"
#include "daemon/identity/authenticator.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/rpc/tls_context.h"

namespace tokend::rpc {

// The server's settings that a reload can change: from the configuration and from the files that it names.
struct ServerSettings {
  struct Listener {
    std::string name;
    std::shared_ptr<const TlsContext> tls;  // null: plaintext
    std::shared_ptr<const identity::Authenticator> authenticator;
  };
  std::vector<Listener> listeners;  // in the order of the configuration
  std::size_t max_in_flight = 0;
  bool one_caller = false;  // the grants name one caller and no pattern: it may use all of max_in_flight
  // What is wrong with files that are used all the same. Each belongs to a key of the configuration.
  std::vector<Status> warnings;
  // Why TLS files were left out of a reload: the listener keeps those that it has. Likewise.
  std::vector<Status> refused;
};

// Reads the listeners' files. Objects of `running` are reused where nothing has changed, and where a valid
// certificate would be replaced by an expired one. An error belongs to a key of the configuration and names
// the listener and the file. Blocks on the file system. Any thread. With Contents::kFiles the result is only
// good for validation, since listeners whose keys are fetched from a URL are left out. `loop` fetches those
// keys and outlives the settings; null: no listener may need it.
Result<ServerSettings> ReadServerSettings(const config::Config& config,
                                          const ServerSettings* running = nullptr,
                                          config::Contents contents = config::Contents::kAll,
                                          loop::CurlLoop* loop = nullptr);

// Describes which certificates and keys differ, for records: "listener cluster: key set". Both settings must
// be for the same listeners.
std::vector<std::string> ChangedKeys(const ServerSettings& running, const ServerSettings& next);

}  // namespace tokend::rpc
