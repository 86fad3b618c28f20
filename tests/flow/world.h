#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/issue/loop_issuer.h"
#include "daemon/policy/policy.h"
#include "daemon/state/memory/memory_state.h"
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

// A grant for any application of acme, for callers whose names begin with "ci", without limits.
config::Grant EveryonesGrant();

// The daemon from the Issuer to the Upstream. The test controls its loop, its clock and its disk.
class World {
 public:
  struct Options {
    std::size_t slots = 8;                    // all of them one caller's, if it asks for them
    std::optional<config::Grant> grant = {};  // default: EveryonesGrant()
    std::vector<config::Limit> organization_limits = {};
    config::Requests requests = {.remember = std::chrono::minutes(10), .max_entries = 100000};
    std::chrono::milliseconds audit_deadline{2000};
    state::MemoryState::OnUnknown on_unknown = state::MemoryState::OnUnknown::kAnswer;
  };

  World(upstream::Upstream& upstream, fakes::HandCrankedLoop& event_loop, Options options);
  // Ends the requests that still run.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // `patience`: until the caller's deadline.
  CallSeen& Ask(const fakes::Request& request, const std::string& caller = "ci",
                std::chrono::nanoseconds patience = std::chrono::seconds(30));

  // Reloads the configuration: this grant, and these organizations.
  void Reload(const config::Grant& grant, const std::vector<std::string>& organizations = {"acme"});

  // What a caller is shown of its grants, or why it is shown nothing.
  std::variant<issue::Entitlement, Failure> Show(const std::string& caller);

  fakes::HandCrankedLoop& loop;
  issue::LiveCalls live;
  telemetry::Metrics metrics;
  upstream::Availability availability;
  issue::Pacing pacing;
  // These may hold requests, which hold slots, places and permits of the members above.
  fakes::MemoryAuditLog audit{loop};
  state::MemoryState state;

 private:
  std::shared_ptr<const issue::ConfigSnapshot> SnapshotOf(
      const config::Grant& grant, const std::vector<std::string>& organizations) const;

  const Options options_;
  std::string default_organization_ = "acme";
  upstream::Upstream& upstream_;
  issue::CurrentConfig config_;
  issue::LoopIssuer issuer_;
  std::deque<CallSeen> calls_;
};

}  // namespace tokend::flow
