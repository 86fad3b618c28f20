#include "daemon/rpc/call_log.h"

#include <cstdint>
#include <utility>

#include "daemon/base/caller.h"
#include "daemon/base/text.h"
#include "daemon/telemetry/log.h"

namespace tokend::rpc {

using config::LogLevel;
using telemetry::Log;

// No part but the last holds a newline.
std::string CallLine::Key() const {
  return Concat({method, "\n", caller, "\n", WithoutPort(peer), "\n", Cause(), "\n", detail});
}

std::string CallLine::Account() const {
  if (allowance == Allowance::kShared) return "shared";
  return caller.empty() ? "unknown" : "caller:" + caller;
}

std::string CallLine::Cause() const { return Concat({Name(code), " ", reason}); }

void CallLine::Reduce() {
  method = {};
  request_id.clear();
  detail.clear();
  reduced = true;
}

void CallLine::KeepCommon(const CallLine& other) {
  if (!reduced) return;
  if (caller != other.caller) caller.clear();
  if (WithoutPort(peer) != WithoutPort(other.peer)) peer.clear();
}

void CallLog::Add(CallLine line, Time now) {
  if (line.code != Code::kOk) return refused_.Add(std::move(line), now);
  Log(LogLevel::kInfo, "call",
      {{"method", line.method},
       {"request_id", line.request_id},
       {"caller", line.caller},
       {"listener", listener_},
       {"peer", line.peer},
       {"code", Name(line.code)},
       {"reason", line.reason},
       {"detail", line.detail},
       {"duration_ms", line.duration_ms}});
}

void CallLog::WriteDue(Time now) {
  for (const auto& [line, count] : refused_.TakeDue(now)) {
    const auto calls = static_cast<std::int64_t>(count);
    if (line.reduced) {
      Log(LogLevel::kInfo, "call",
          {{"caller", line.caller},
           {"listener", listener_},
           {"peer", line.peer},
           {"code", Name(line.code)},
           {"reason", line.reason},
           {"count", calls}});
    } else {
      Log(LogLevel::kInfo, "call",
          {{"method", line.method},
           {"request_id", line.request_id},
           {"caller", line.caller},
           {"listener", listener_},
           {"peer", line.peer},
           {"code", Name(line.code)},
           {"reason", line.reason},
           {"detail", line.detail},
           {"duration_ms", line.duration_ms},
           {"count", calls}});
    }
  }
}

}  // namespace tokend::rpc
