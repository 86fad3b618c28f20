#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <variant>

#include "daemon/config/config.h"

// The operational log, for the people who run the daemon: one JSON object or one line of text for each event,
// on standard error. The record of tokens is the audit log.
namespace tokend::telemetry {

struct LogField {
  std::string_view name;
  std::variant<std::string_view, std::int64_t, double> value;
};

// How long a line of LogGathered waits for further lines. With the time that writing takes, no line is more
// than 50 ms late while standard error is read.
inline constexpr std::chrono::milliseconds kGatherTime{40};

// Starts the thread that writes the lines. Before StartLog and after StopLog, and where the system allows no
// further thread, Log writes each line itself. Before StartLog the level is info and the format JSON.
void StartLog(const config::Log& options, std::chrono::milliseconds gather_time = kGatherTime);

// Sets the lowest level that is written from now on. Any thread.
void SetLogLevel(config::LogLevel level);

// Writes the queued lines and ends the thread. Returns within about two seconds even if nobody reads standard
// error: lines that are still queued then are lost.
void StopLog();

// Queues one line: {"time":…,"level":…,"event":event, fields…}. The line, and those before it, are written at
// once. Any thread; never blocks. While standard error is not read, up to 2,048 lines wait and the oldest are
// dropped; later a line "log_lines_dropped" says how many (`count`). `event` is a fixed word. A field's value
// is escaped, and cut after 1,024 bytes. A field must not hold text that a caller or the upstream wrote,
// except a valid name (base/form.h) and the escaped name of a refused client certificate.
void Log(config::LogLevel level, std::string_view event, std::span<const LogField> fields);
inline void Log(config::LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  Log(level, event, std::span(fields.begin(), fields.size()));
}

// The same for lines of which there may be thousands a second. Several are written together, each of them
// within 50 ms. A process that is killed loses those that wait; StopLog writes them.
void LogGathered(config::LogLevel level, std::string_view event, std::span<const LogField> fields);

}  // namespace tokend::telemetry
