#pragma once

#include "daemon/audit/audit_log.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/live_calls.h"
#include "daemon/issue/pacing.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/state.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/availability.h"
#include "daemon/upstream/upstream.h"

namespace tokend::issue {

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
