#pragma once

#include "daemon/issue/calls_in_flight.h"
#include "daemon/issue/recent_latency.h"
#include "daemon/issue/retry_policy.h"
#include "daemon/issue/upstream_slots.h"

namespace tokend::issue {

// How many requests may run at once, how often they may be tried again, and how long an attempt takes: what
// all requests share so that they overload neither the upstream nor each other. Loop thread only.
struct Pacing {
  CallsInFlight calls = {};
  UpstreamSlots slots;
  RetryPolicy retries;
  RecentLatency latency = {};
};

}  // namespace tokend::issue
