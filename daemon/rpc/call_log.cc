#include "daemon/rpc/call_log.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "daemon/base/caller.h"
#include "daemon/base/text.h"

namespace tokend::rpc {

using config::LogLevel;
using telemetry::LogField;
using telemetry::LogGathered;

constexpr std::string_view kCreateTokenName = "CreateToken";  // as the line names the method

// No part but the last holds a newline.
std::string CallLine::Key() const {
  return Concat(
      {method, "\n", caller, "\n", on_behalf_of, "\n", WithoutPort(peer), "\n", Cause(), "\n", detail});
}

std::string CallLine::Account() const {
  if (allowance == Allowance::kShared) return "shared";
  return caller.empty() ? "unknown" : "caller:" + caller;
}

std::string CallLine::Cause() const { return Concat({Name(code), " ", reason}); }

void CallLine::Reduce() {
  method = {};
  request_id.clear();
  on_behalf_of.clear();
  trace.clear();
  detail.clear();
  reduced = true;
}

void CallLine::KeepCommon(const CallLine& other) {
  if (!reduced) return;
  if (caller != other.caller) caller.clear();
  if (WithoutPort(peer) != WithoutPort(other.peer)) peer.clear();
}

void CallLog::Report(const CallLine& line) const {
  if (recent_ == nullptr) return;
  telemetry::EndedCall ended{.end = line.end,
                             .listener = listener_,
                             .caller = line.caller,
                             .peer = WithoutPort(line.peer),
                             .reason = line.reason,
                             .detail = line.detail};
  if (line.end == telemetry::CallEnd::kServed && line.method == kCreateTokenName) {
    ended.duration = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double, std::milli>(line.duration_ms));
  }
  recent_->CallEnded(ended);
}

std::vector<LogField> CallLine::Fields(std::string_view listener) const {
  std::vector<LogField> fields;
  if (!reduced) {
    fields.push_back({"method", method});
    fields.push_back({"request_id", request_id});
  }
  fields.push_back({"caller", caller});
  if (!on_behalf_of.empty()) fields.push_back({"on_behalf_of", on_behalf_of});
  fields.push_back({"listener", listener});
  fields.push_back({"peer", peer});
  if (!trace.empty()) fields.push_back({"trace", trace});
  fields.push_back({"code", Name(code)});
  fields.push_back({"reason", reason});
  if (!reduced) {
    fields.push_back({"detail", detail});
    fields.push_back({"duration_ms", duration_ms});
  }
  return fields;
}

void CallLog::Add(CallLine line, Time now) {
  Report(line);
  if (line.code != Code::kOk) return refused_.Add(std::move(line), now);
  LogGathered(LogLevel::kInfo, "call", line.Fields(listener_));
}

void CallLog::WriteDue(Time now) {
  for (const auto& [line, count] : refused_.TakeDue(now)) {
    std::vector<LogField> fields = line.Fields(listener_);
    fields.push_back({"count", static_cast<std::int64_t>(count)});
    LogGathered(LogLevel::kInfo, "call", fields);
  }
}

}  // namespace tokend::rpc
