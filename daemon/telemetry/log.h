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

// From here on a thread of the log's own writes the lines. Before, and after StopLog, Log writes them itself.
// Before, it writes JSON at level info.
void StartLog(const config::Log& options);

// The least that is written from here on. Any thread.
void SetLogLevel(config::LogLevel level);

// Writes out what is queued and ends the log's thread. Returns within about two seconds even where nobody
// reads standard error; what is queued then is lost.
void StopLog();

// Queues one line: {"time":…,"level":…,"event":event, fields…}. Any thread; never blocks: where standard
// error is not read, the oldest of 2,048 lines are dropped, which a line "log_lines_dropped" with their
// `count` says once there is room. `event` is a fixed word; a field's value is escaped, and cut after 1,024
// bytes. Nothing that a caller or the upstream wrote may stand in a field, but for a valid name of
// base/form.h.
void Log(config::LogLevel level, std::string_view event, std::initializer_list<LogField> fields);

}  // namespace tokend::telemetry
