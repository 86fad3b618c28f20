#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "daemon/issue/loop_issuer.h"
#include "daemon/policy/policy.h"
#include "daemon/state/memory_ledger.h"
#include "daemon/telemetry/metrics.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/memory_audit_log.h"
#include "tests/fakes/requests.h"

namespace tokend::flow {

inline constexpr char kRequestId[] = "018f3b2a-0000-7000-8000-0123456789ab";

// One call, as its caller sees it.
struct CallSeen {
  std::shared_ptr<issue::Call> call;
  std::optional<issue::Reply> reply;
  int replies = 0;

  bool released() const { return reply && std::holds_alternative<issue::Released>(*reply); }
  const issue::Released& release() const { return std::get<issue::Released>(reply.value()); }
  std::string bearer() const { return std::string(release().token->bearer.Expose()); }
  const Failure& failure() const { return std::get<Failure>(reply.value()); }
  bool abandoned() const { return reply && std::holds_alternative<issue::Abandoned>(*reply); }
};

// The daemon from the edge's port to the upstream's, on a loop and a disk that the test holds.
class World {
 public:
  struct Options {
    std::size_t slots = 8;
    config::Requests requests = {};
    std::chrono::milliseconds audit_deadline{2000};
  };

  World(upstream::Upstream& upstream, fakes::HandCrankedLoop& event_loop, Options options);

  CallSeen& Ask(const fakes::Request& request, const std::string& caller = "ci");

  fakes::HandCrankedLoop& loop;
  fakes::MemoryAuditLog audit{loop};
  state::MemoryRequestLedger ledger;
  issue::UpstreamSlots slots;
  issue::LiveCalls live;

 private:
  issue::CurrentConfig config_;
  telemetry::Metrics metrics_;
  issue::LoopIssuer issuer_;
  std::deque<CallSeen> calls_;
};

}  // namespace tokend::flow
