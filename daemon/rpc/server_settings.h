#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/config/contents.h"
#include "daemon/identity/authenticator.h"
#include "daemon/rpc/tls_context.h"

namespace tokend::rpc {

// What the edge takes from a configuration and its files, and can take again while it runs.
struct EdgeSettings {
  struct Listener {
    std::string name;
    std::shared_ptr<const TlsContext> tls;  // null: none
    std::shared_ptr<const identity::Authenticator> authenticator;
  };
  std::vector<Listener> listeners;  // in the order of the configuration
  std::size_t max_in_flight = 0;
  bool one_caller = false;  // the policy names one caller and no pattern: all places are its
};

// Reads the listeners' files. Where one is `running`, what is the same is the very same object. An error is
// of a listener's key in the configuration, and names the listener and the file. Blocks on the file system;
// any thread. What is read of files alone is for judging, not for serving.
Result<EdgeSettings> ReadEdgeSettings(const config::Config& config, const EdgeSettings* running = nullptr,
                                      config::Contents contents = config::Contents::kAll);

// What `next` has other keys for, in words for records: "listener cluster: certificate". Both are of the same
// listeners.
std::vector<std::string> ChangedKeys(const EdgeSettings& running, const EdgeSettings& next);

}  // namespace tokend::rpc
