#pragma once

#include <memory>
#include <optional>

#include "daemon/base/caller.h"
#include "daemon/base/decision.h"
#include "daemon/base/token_request.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/recent_latency.h"
#include "daemon/state/state.h"

namespace tokend::issue {

// What is known of one request while it runs.
struct RequestContext {
  const std::shared_ptr<const ConfigSnapshot> config;
  const Caller caller;
  const TokenRequest request;
  const state::TimePoint deadline;          // when the caller stops waiting
  std::optional<Permitted> permitted = {};  // once a grant has been found
  state::Charges charges = {};              // of each attempt
  bool caller_left = false;                 // it cancelled, or its deadline has passed

  // By which a retry of the request is known.
  state::RequestDigest Digest() const {
    return state::DigestOf(caller.name(), request.sent_organization(), request.application(),
                           request.scopes(), request.description());
  }

  // A turn after this leaves no time for an answer.
  state::TimePoint LatestTurn(const RecentLatency& latency) const { return deadline - latency.get(); }
};

}  // namespace tokend::issue
