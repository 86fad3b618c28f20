#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/audit/log_store.h"
#include "daemon/audit/record_line.h"
#include "daemon/base/result.h"

namespace tokend::audit {

// What the lock file says of the log beside it. By it a log that is gone is told from one that never was.
struct LogNote {
  bool begun = false;                   // a record of this log was durable
  std::optional<RecordTime> lost_at{};  // when a start found that an earlier log was gone

  bool operator==(const LogNote&) const = default;
};

// One line each: "begun", and "lost at <time>".
std::string ToText(const LogNote& note);
LogNote ParseNote(std::string_view text);

Result<LogNote> ReadNote(LogStore& store);
Status WriteNote(LogStore& store, const LogNote& note);

}  // namespace tokend::audit
