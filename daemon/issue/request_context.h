#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include "daemon/base/caller.h"
#include "daemon/base/decision.h"
#include "daemon/base/token_request.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/recent_latency.h"
#include "daemon/state/state.h"
#include "daemon/upstream/upstream.h"

namespace tokend::issue {

// What is known of one request while it runs.
struct RequestContext {
  const std::shared_ptr<const ConfigSnapshot> config;
  const Caller caller;
  const TokenRequest request;
  const state::TimePoint deadline;   // when the call ends at the latest
  const state::TimePoint intend_by;  // the same; earlier where a relay's own caller stops waiting earlier
  std::optional<Permitted> permitted = {};         // once a grant has been found
  state::RequestDigest digest = {};                // MakeDigest's, once the request is on the loop
  state::Charges charges = {};                     // of each attempt
  bool caller_left = false;                        // it cancelled, or its deadline has passed
  std::optional<state::Intent> first_intent = {};  // of a request_id that this request asks again

  // The name of a relay's own caller; empty: the caller is no relay.
  std::string_view on_behalf_of() const {
    return request.relayed() ? std::string_view(request.relayed()->on_behalf_of) : std::string_view();
  }

  // Retries of one request have the same digest. A relay sends the digest of its own caller's request.
  state::RequestDigest MakeDigest() const {
    if (request.relayed()) {
      if (const auto told = state::ParseDigest(request.relayed()->digest)) return *told;
    }
    return state::DigestOf(caller.name(), request.sent_organization(), request.application(),
                           request.scopes(), request.description());
  }

  // The request_id was used for the first time at most this long ago. Nothing: nobody knows.
  std::optional<std::chrono::seconds> RequestIdAge() const {
    if (request.request_id_origin() == RequestIdOrigin::kDaemon) return std::chrono::seconds(0);
    return request.relayed() ? request.relayed()->age : std::nullopt;
  }

  // The request to the upstream. `now`: when this request records its intent.
  upstream::MintRequest ToMint(state::TimePoint now) const {
    return {.organization = request.organization(),
            .application = request.application(),
            .description = permitted->description(),
            .scopes = permitted->scopes(),
            .request_id = request.request_id(),
            .deadline = deadline,
            .caller = caller.name(),
            .digest = state::ToText(digest),
            .first_intended_at = first_intent ? first_intent->at : now,
            .traceparent = request.traceparent(),
            .asked_before = first_intent.has_value()};
  }

  // A turn after this leaves no time for an answer.
  state::TimePoint LatestTurn(const RecentLatency& latency) const { return intend_by - latency.get(); }
};

}  // namespace tokend::issue
