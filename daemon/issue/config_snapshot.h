#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/base/current.h"
#include "daemon/config/config.h"
#include "daemon/policy/policy.h"

namespace tokend::issue {

// What requests are decided by, of one configuration. A request goes by the one that it began with, also
// where a reload has put another in its place.
struct ConfigSnapshot {
  std::string fingerprint;  // of the configuration: in every record of the request
  policy::Policy policy;
  std::chrono::milliseconds audit_deadline{0};  // how long a call waits for one record
  std::map<std::string, std::vector<config::Limit>, std::less<>> organization_limits = {};
};

using CurrentConfig = Current<ConfigSnapshot>;

}  // namespace tokend::issue
