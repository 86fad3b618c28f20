#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/base/current.h"
#include "daemon/config/config.h"
#include "daemon/issue/upstream_slots.h"
#include "daemon/policy/policy.h"

namespace tokend::issue {

// The part of one configuration that decides on requests. A request uses the snapshot that was current when
// it began, even if a reload replaces it meanwhile.
struct ConfigSnapshot {
  std::string fingerprint;  // of the configuration; stands in every record of the request
  policy::Policy policy;
  std::chrono::milliseconds audit_deadline{0};  // how long a request waits for one record
  std::map<std::string, std::vector<config::Limit>, std::less<>> organization_limits = {};
  UpstreamSlots::Policies slots = {};
};

using CurrentConfig = Current<ConfigSnapshot>;

}  // namespace tokend::issue
