#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "daemon/config/config.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/upstream/upstream.h"

// The one place that knows the kinds of upstream: another kind is a case here.
namespace tokend::app {

// What the rest of the daemon needs to know about an upstream of any kind.
struct UpstreamTraits {
  std::chrono::milliseconds timeout{0};         // of one request
  std::size_t max_in_flight = 0;                // requests at a time
  std::map<std::string, std::string> ca_files;  // by the key that names the file; empty: the system's CAs
};
UpstreamTraits TraitsOf(const config::Upstream& upstream);

// The upstream that the configuration chooses. Made before the loop starts, destroyed after it has stopped.
std::unique_ptr<upstream::Upstream> MakeUpstream(const config::Upstream& configuration,
                                                 const upstream::KeyRing& keys, loop::CurlLoop& loop,
                                                 upstream::Upstream::OnAnswer on_answer);

}  // namespace tokend::app
