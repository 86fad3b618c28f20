#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "daemon/telemetry/recent_activity.h"
#include "daemon/telemetry/system_state.h"

namespace tokend::telemetry {

// What /status.json says. deploy/README.md documents its keys, which stay compatible.
struct StatusReport {
  struct Part {
    std::string name;
    bool ok = true;
    bool decides = true;  // the replica is not ready while this part does not work
    std::string state;    // "ok", or why the part does not work
  };

  WallTime time{};
  WallTime started{};
  std::chrono::seconds up{0};
  bool ready = false;
  std::vector<Part> parts = {};
  std::vector<std::string> troubles = {};
  std::size_t calls_in_flight = 0;
  SystemState system = {};
  RecentActivity::Report recent = {};
};

// At most this many organizations are listed.
inline constexpr std::size_t kMaxListedOrganizations = 100;

std::string ToJson(const StatusReport& report);

}  // namespace tokend::telemetry
