#pragma once

#include <vector>

#include "daemon/app/upstream_factory.h"
#include "daemon/app/upstream_reach.h"
#include "daemon/audit/history.h"
#include "daemon/audit/queued_audit_log.h"
#include "daemon/issue/retry_policy.h"
#include "daemon/state/state.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/availability.h"

// What the parts of the daemon report, as metrics and log lines. The metrics outlive the parts.
namespace tokend::app {

audit::Hooks AuditHooks(telemetry::Metrics& metrics);
state::Observer StateObserver(telemetry::Metrics& metrics);
upstream::Availability::OnChange AvailabilityObserver(telemetry::Metrics& metrics);
issue::RetryPolicy::OnBudget RetryObserver(const UpstreamTraits& upstream, telemetry::Metrics& metrics);
// `reach` outlives the upstream too.
upstream::RelayUpstream::Observer UpstreamObserver(const UpstreamTraits& upstream,
                                                   telemetry::Metrics& metrics, UpstreamReach& reach);
// The requests that the last run left without an end: their tokens may exist.
void CountEndedAtStart(const audit::PastRequests& ended, telemetry::Metrics& metrics);

}  // namespace tokend::app
