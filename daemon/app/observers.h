#pragma once

#include "daemon/audit/queued_audit_log.h"
#include "daemon/state/state.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/availability.h"

// What the parts of the daemon report, as metrics and log lines. The metrics outlive the parts.
namespace tokend::app {

audit::Hooks AuditHooks(telemetry::Metrics& metrics);
state::Observer StateObserver(telemetry::Metrics& metrics);
upstream::Availability::OnChange AvailabilityObserver(telemetry::Metrics& metrics);

}  // namespace tokend::app
