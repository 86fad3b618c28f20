#pragma once

#include "daemon/audit/queued_audit_log.h"
#include "daemon/base/result.h"

namespace tokend::app {

// The records of the daemon's own life: daemon.started before it serves, and daemon.stopped as the last one.
// Main thread.
class RecordedRun {
 public:
  // The audit log outlives this.
  explicit RecordedRun(audit::QueuedAuditLog& audit) : audit_(audit) {}
  // Stops where Start succeeded and Stop was not called.
  ~RecordedRun();
  RecordedRun(const RecordedRun&) = delete;
  RecordedRun& operator=(const RecordedRun&) = delete;

  // Returns once the record of the start is durable, or an error after at most 10 s.
  Status Start();

  // Writes the last record and stops the audit log.
  Status Stop();

 private:
  audit::QueuedAuditLog& audit_;
  bool running_ = false;
};

}  // namespace tokend::app
