#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

#include "daemon/config/config.h"

// The operational log: one JSON object (or one line of text) an event, on standard error. It is for people on
// call; what happened to tokens stands in the audit log.
namespace tokend::telemetry {

struct LogField {
  std::string_view name;
  std::variant<std::string_view, std::int64_t, double> value;
};

// Before this, Log writes JSON at level info. Not thread-safe: call once, before other threads log.
void StartLog(const config::Log& options);

// Writes out what is queued and ends the log's thread.
void StopLog();

// Queues one line: {"time":…,"level":…,"event":event, fields…}. Any thread; never blocks: where standard
// error is not read, the oldest lines are dropped. `event` is a fixed word; a field's value is escaped.
// Nothing that a caller or the upstream wrote may stand in a field, but for a valid name of base/form.h.
void Log(config::LogLevel level, std::string_view event, std::initializer_list<LogField> fields);

}  // namespace tokend::telemetry
