#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/refusal_aggregator.h"
#include "daemon/rpc/status.h"
#include "daemon/telemetry/log.h"
#include "daemon/telemetry/recent_activity.h"

namespace tokend::rpc {

// What the operational log says of one call. A report of a RefusalAggregator.
struct CallLine {
  std::string_view method;
  std::string request_id;
  std::string caller;             // empty: unknown
  std::string on_behalf_of = {};  // if a relay calls: the name of its own caller
  std::string peer;
  std::string trace = {};  // 32 hex digits, or empty
  Code code = Code::kOk;
  std::string_view reason = {};
  std::string detail = {};
  double duration_ms = 0;
  telemetry::CallEnd end = telemetry::CallEnd::kServed;
  Allowance allowance = Allowance::kOwn;
  bool reduced = false;

  std::string Key() const;
  std::string Account() const;
  std::string Cause() const;
  void Reduce();
  // The fields of the log line. The result refers to this object and to `listener`.
  std::vector<telemetry::LogField> Fields(std::string_view listener) const;
  void KeepCommon(const CallLine& other);
};

// Writes the `call` lines of one listener to the operational log by LogGathered. Alike refused calls become
// one line, as they become one record of the audit log. Reports each call to `recent` at once. One thread at
// a time.
class CallLog {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `recent` outlives this. Null: calls are not reported.
  explicit CallLog(std::string listener, telemetry::RecentActivity* recent = nullptr)
      : listener_(std::move(listener)), recent_(recent) {}

  void Add(CallLine line, Time now);

  // When WriteDue next has a line to write, or nothing while none is held.
  std::optional<Time> due() const { return refused_.due(); }
  void WriteDue(Time now);
  void WriteAll() { WriteDue(Time::max()); }

 private:
  void Report(const CallLine& line) const;

  const std::string listener_;
  telemetry::RecentActivity* const recent_;
  RefusalAggregator<CallLine> refused_{std::chrono::seconds(1)};
};

}  // namespace tokend::rpc
