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

// One organization's API key, and the how manieth it is since the daemon's start.
struct KeyInUse {
  std::shared_ptr<const ApiKey> key;
  config::ApiKeySource source;
  std::uint64_t generation = 1;
};

// By organization, as the configuration names them.
using KeyRing = std::map<std::string, KeyInUse>;

// The API keys that the configuration names, fit to stand in an HTTP header. Where there is a `previous`
// ring, a key that is the same keeps its generation there and another one gets the next. An environment
// variable is overwritten as it is read: the ring without a previous one is read before there are other
// threads, and later ones know what it has read. An error is of the organization's key in the configuration,
// and names the organization, the source and what to do, never what was read.
Result<KeyRing> ReadKeys(const std::vector<config::Organization>& organizations,
                         const KeyRing* previous = nullptr,
                         config::Contents contents = config::Contents::kAll);

}  // namespace tokend::upstream
