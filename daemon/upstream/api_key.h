#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"
#include "daemon/config/contents.h"

namespace tokend::upstream {

// One organization's API key.
struct KeyInUse {
  std::shared_ptr<const ApiKey> key;
  config::ApiKeySource source;
  std::uint64_t generation = 1;  // counts the organization's keys since the daemon's start
};

// By organization, as the configuration names them.
using KeyRing = std::map<std::string, KeyInUse>;

// Reads the API keys that the configuration names. Each may stand in an HTTP header. A key that is the same
// as in `previous` keeps its generation; a changed key gets the next one. Reading an environment variable
// overwrites it: so the first ring, which has no `previous`, is read before there are other threads, and
// later rings take the variable's key from `previous`. An error is placed at the organization's key in the
// configuration. It names the organization, the source and what to do, and never says what was read.
Result<KeyRing> ReadKeys(const std::vector<config::Organization>& organizations,
                         const KeyRing* previous = nullptr,
                         config::Contents contents = config::Contents::kAll);

}  // namespace tokend::upstream
