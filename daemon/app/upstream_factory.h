#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "daemon/config/config.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/upstream/availability.h"
#include "daemon/upstream/central_credentials.h"
#include "daemon/upstream/relay.h"
#include "daemon/upstream/upstream.h"

// The one place that knows the kinds of upstream: another kind is a case here.
namespace tokend::app {

// What the rest of the daemon needs to know about an upstream of any kind.
struct UpstreamTraits {
  std::chrono::milliseconds timeout{0};         // of one request
  std::size_t max_in_flight = 0;                // requests at a time
  std::map<std::string, std::string> ca_files;  // by the key that names the file; empty: the system's CAs
  std::optional<std::string> centre = {};       // the address of a relay's central tokend; nothing: no relay
};
UpstreamTraits TraitsOf(const config::Upstream& upstream);

// The upstream that the configuration chooses. Made before the loop starts, destroyed after it has stopped.
std::unique_ptr<upstream::Upstream> MakeUpstream(const config::Upstream& configuration,
                                                 const upstream::KeyRing& keys,
                                                 upstream::CentralCredentials central, loop::CurlLoop& loop,
                                                 upstream::RelayUpstream::Observer observer);

// What keeps requests from that upstream for a while. `upstream` outlives it.
std::unique_ptr<upstream::Availability> MakeAvailability(const config::Upstream& configuration,
                                                         const upstream::KeyRing& keys, loop::EventLoop& loop,
                                                         const upstream::Upstream& upstream,
                                                         upstream::Availability::OnChange on_change);

}  // namespace tokend::app
