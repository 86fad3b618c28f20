#pragma once

#include "daemon/issue/calls_in_flight.h"
#include "daemon/issue/retry_policy.h"
#include "daemon/issue/upstream_slots.h"
#include "daemon/issue/usual_time.h"

namespace tokend::issue {

// What is counted of the requests that run, so that they neither crowd each other out nor the upstream. Loop
// thread only.
struct Traffic {
  CallsInFlight calls = {};
  UpstreamSlots slots;
  RetryPolicy retries;
  UsualTime usual_time = {};
};

}  // namespace tokend::issue
