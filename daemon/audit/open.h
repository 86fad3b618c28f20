#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "daemon/audit/history.h"
#include "daemon/audit/log_store.h"
#include "daemon/audit/queued_audit_log.h"
#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"

namespace tokend::audit {

struct OpenOptions {
  std::string config;                     // the configuration's fingerprint, for every record
  std::string config_text = {};           // what is kept of it beside the log; empty: nothing
  std::chrono::milliseconds remember{0};  // the age of the oldest intent in `past`
  // The time for which a closed file is kept at least, even where more than `keep` files are closed. It is at
  // least `remember`, because after a restart past requests are known from these files, and at least the time
  // that a request takes.
  std::chrono::milliseconds keep_for{0};
  Hooks hooks = {};
  Timing timing = {};
};

struct Opened {
  std::unique_ptr<QueuedAuditLog> log;
  // The requests of the last `remember` whose token was or may have been created, oldest first: the request
  // ledger must know them again. Empty for standard output alone.
  PastRequests past;
  // The requests whose intent had no end in the log. This start has ended them as token.unknown.
  PastRequests ended;
  // The log's last gap: a request that was made before it ends may be missing in `past`. It ends at the
  // latest now; standard output alone is a gap that ends now. Nothing: the log knows every request there ever
  // was.
  std::optional<Gap> gap;
  // How far the log's latest record is ahead of the wall clock; zero where it is not.
  std::chrono::microseconds ahead{0};
};

// Opens the audit log and repairs it. A file whose chain of records is broken, by a crash or by an intruder,
// is set aside, and a new file begins with audit.recovered. Every token.intended without an end is ended as
// token.unknown. Blocks: call it before the daemon serves. RESOURCE_EXHAUSTED where the system allows no
// further thread.
Result<Opened> OpenAuditLog(const config::Audit& config, Keys keys, OpenOptions options,
                            loop::EventLoop& loop);

// The same for a file in the given store. `copy` may be null.
Result<Opened> OpenFileLog(std::unique_ptr<LogStore> store, const config::AuditFile& file,
                           std::unique_ptr<StreamCopy> copy, Keys keys, OpenOptions options,
                           loop::EventLoop& loop);

}  // namespace tokend::audit
