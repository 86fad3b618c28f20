#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/telemetry/recent_activity.h"

// What the status page shows of the daemon's parts, without secrets.
namespace tokend::telemetry {

struct LimitState {
  std::string name;
  std::uint64_t tokens = 0;
  std::chrono::milliseconds per{0};
  std::uint64_t burst = 0;
  std::optional<std::int64_t> remaining = {};  // tokens that can be had now; nothing: not known yet
};

struct OrganizationState {
  std::string name;
  std::uint64_t key_generation = 0;  // 0: this daemon has no key of it
  std::vector<LimitState> limits = {};
};

struct ListenerState {
  std::string name;
  std::vector<std::string> addresses;
  std::size_t connections = 0;
  std::optional<WallTime> certificate_not_after = {};  // nothing: the listener has no TLS
  std::optional<std::chrono::seconds> keys_age = {};   // of the keys from its jwks_url; nothing: it has none
};

struct ConfigurationState {
  std::string digest = {};
  WallTime reloaded{};    // when the files were last read
  bool in_effect = true;  // false: the files were rejected, or some were left out
  std::size_t errors = 0;
  std::string first_error = {};  // with file, line and column
};

struct SystemState {
  ConfigurationState configuration = {};
  std::vector<OrganizationState> organizations = {};
  std::optional<WallTime> limits_read = {};  // when `remaining` of the limits was read
  std::string centre = {};                   // the address of a relay's central tokend; empty: no relay
  std::vector<ListenerState> listeners = {};
};

}  // namespace tokend::telemetry
