#pragma once

#include <memory>

#include "daemon/app/limit_levels.h"
#include "daemon/app/readiness.h"
#include "daemon/app/reloader.h"
#include "daemon/app/upstream_reach.h"
#include "daemon/audit/queued_audit_log.h"
#include "daemon/base/result.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/rpc/server.h"
#include "daemon/state/state.h"
#include "daemon/telemetry/admin.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/availability.h"

namespace tokend::app {

// The parts that the admin page shows. All of them outlive it.
struct AdminSources {
  const Readiness& readiness;
  const issue::CurrentConfig& current;
  const Reloader& reloader;
  const state::State& state;
  const audit::QueuedAuditLog& audit;
  const upstream::Availability& availability;
  const UpstreamReach& reach;
  const rpc::Server& server;
  LimitLevels& levels;
  telemetry::Metrics& metrics;
};

// Starts the admin page and logs its address; null where the configuration has none.
Result<std::unique_ptr<telemetry::AdminServer>> StartAdminPage(const AdminSources& sources);

}  // namespace tokend::app
