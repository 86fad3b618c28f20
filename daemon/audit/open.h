#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "daemon/audit/history.h"
#include "daemon/audit/log_store.h"
#include "daemon/audit/queued_audit_log.h"
#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"

namespace tokend::audit {

struct OpenOptions {
  std::string config;                     // the configuration's fingerprint, in every record
  std::chrono::milliseconds remember{0};  // how far back `past` goes
  // How long a closed file stays at least, past `keep` as well: not shorter than `remember`, since a request
  // that must not be sent again is known from it, nor than a request takes.
  std::chrono::milliseconds keep_for{0};
  Hooks hooks = {};
  Timing timing = {};
};

struct Opened {
  std::unique_ptr<QueuedAuditLog> log;
  // What the request ledger must know again: every intent of the last `remember` that may have made a token,
  // oldest first. Empty for standard output alone.
  std::vector<PastRequest> past;
};

// Opens the audit log and makes it whole before it returns: what a crash or an intruder left that is no chain
// of records is set aside (audit.recovered), and every token.intended without its end is ended as
// token.unknown. Blocks: call it before anything serves.
Result<Opened> OpenAuditLog(const config::Audit& config, Keys keys, OpenOptions options,
                            loop::EventLoop& loop);

// The same for a file in a given store. `copy` may be null.
Result<Opened> OpenFileLog(std::unique_ptr<LogStore> store, const config::AuditFile& file,
                           std::unique_ptr<StreamCopy> copy, Keys keys, OpenOptions options,
                           loop::EventLoop& loop);

}  // namespace tokend::audit
