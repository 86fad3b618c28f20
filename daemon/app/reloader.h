#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "daemon/app/settings.h"
#include "daemon/audit/queued_audit_log.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/loop/event_loop.h"
#include "daemon/rpc/server.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/applivery.h"
#include "daemon/upstream/availability.h"

namespace tokend::app {

// What requests are decided by, of a configuration.
std::shared_ptr<const issue::ConfigSnapshot> SnapshotOf(const config::Config& config);

// Puts another configuration, or other keys, in the place of what is in effect: all of it or nothing, and
// with a record either way. What is under way finishes on what it began with. One thread, but for `rejected`.
class Reloader {
 public:
  // What a reload reaches. All of it outlives this.
  struct Parts {
    issue::CurrentConfig& current;
    audit::QueuedAuditLog& audit;
    rpc::Server& server;
    loop::EventLoop& loop;
    upstream::AppliveryUpstream& upstream;
    upstream::Availability& availability;
    telemetry::Metrics& metrics;
  };

  Reloader(std::string path, Settings settings, const Parts& parts);

  // Reads everything again. Blocks on the file system.
  void Reload();

  const Settings& settings() const { return settings_; }

  // All files that a reload reads, those included that a rejected configuration names.
  std::vector<std::string> files() const;

  // Whether the last reload was rejected: what is in effect is then not what the files say. Any thread.
  bool rejected() const { return rejected_; }

 private:
  void Reject(const Rejection& rejection);
  void Take(Settings next);
  void RecordChanges(const Settings& next);
  void Record(const char* event, std::string detail);

  const std::string path_;
  Settings settings_;
  std::vector<std::string> rejected_files_;
  const Parts parts_;
  std::atomic<bool> rejected_{false};
};

}  // namespace tokend::app
