#pragma once

#include "daemon/audit/audit_log.h"
#include "daemon/issue/caller_buckets.h"
#include "daemon/issue/calls_in_flight.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/live_calls.h"
#include "daemon/issue/recent_latency.h"
#include "daemon/issue/retry_policy.h"
#include "daemon/issue/upstream_slots.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/state.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/availability.h"
#include "daemon/upstream/upstream.h"

namespace tokend::issue {

// How many requests may run at once, how often they may be tried again, how long an attempt takes, and how
// often a caller may check and replay: what all requests share so that they overload neither the upstream nor
// the audit log nor each other. Loop thread only.
struct Pacing {
  CallsInFlight calls = {};
  UpstreamSlots slots;
  RetryPolicy retries;
  RecentLatency latency = {};
  CallerBuckets buckets = {};
};

// The parts of the daemon that a request passes through. All of them outlive every request.
struct Stages {
  loop::EventLoop& loop;
  const CurrentConfig& config;
  state::State& state;
  Pacing& pacing;
  audit::AuditLog& audit;
  upstream::Availability& availability;
  upstream::Upstream& upstream;
  telemetry::Metrics& metrics;
  LiveCalls& live;
};

}  // namespace tokend::issue
