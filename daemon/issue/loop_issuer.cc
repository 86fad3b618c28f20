#include "daemon/issue/loop_issuer.h"

#include <string>
#include <utility>
#include <vector>

#include "daemon/issue/records.h"
#include "daemon/issue/request_charges.h"

namespace tokend::issue {

std::shared_ptr<Call> LoopIssuer::Create(Caller caller, TokenRequest request,
                                         std::chrono::steady_clock::time_point deadline,
                                         ReplyCallback reply) {
  auto issuance =
      std::make_shared<Issuance>(stages_, std::move(caller), std::move(request), deadline, std::move(reply));
  issuance->Start();
  return issuance;
}

void LoopIssuer::Show(const Caller& caller, EntitlementCallback shown) {
  Entitlement entitlement{stages_.config.Get(), {}};
  policy::CallerGrants named = entitlement.config->policy.GrantsOf(caller.name());
  entitlement.more_grants = named.more;
  std::vector<state::Charge> charges;  // of all grants, one after another
  for (policy::CallerGrant& grant : named.grants) {
    for (state::Charge& charge : OwnLimitsOf(*grant.grant, caller.name()))
      charges.push_back(std::move(charge));
    entitlement.grants.push_back({std::move(grant), {}});
  }
  auto fill = [&loop = stages_.loop, entitlement = std::move(entitlement), charges, shown = std::move(shown)](
                  std::variant<std::vector<state::TimePoint>, Failure> levels) mutable {
    if (auto* failure = std::get_if<Failure>(&levels)) return shown(std::move(*failure));
    const auto& full_at = std::get<std::vector<state::TimePoint>>(levels);
    const state::TimePoint now = loop.clock().Now();
    std::size_t next = 0;
    for (Entitlement::Grant& grant : entitlement.grants) {
      for (const config::Limit& limit : grant.grant.grant->limits) {
        const state::Rate& rate = charges[next].rate;
        const state::TimePoint full = full_at[next++];
        grant.limits.push_back({&limit, rate.Remaining(full, now), rate.Earliest(full, now) - now});
      }
    }
    shown(std::move(entitlement));
  };
  stages_.loop.Post([&stages = stages_, name = caller.name(), charges = std::move(charges),
                     fill = std::move(fill)]() mutable {
    if (auto spent = stages.pacing.buckets.TakeCheck(name, stages.loop.clock().Now())) {
      return fill(*std::move(spent));
    }
    stages.state.Levels(std::move(charges),
                        [fill = std::move(fill)](Result<std::vector<state::TimePoint>> full_at) mutable {
                          if (full_at.ok()) return fill(*std::move(full_at));
                          fill(Failure{Reason::kLimitsUnavailable, std::string(full_at.status().message())});
                        });
  });
}

void LoopIssuer::Refuse(const Caller* caller, std::string_view on_behalf_of, std::string_view listener,
                        std::string_view peer, std::string_view request_id, std::string_view trace,
                        const Failure& failure) {
  audit::Record record;
  if (caller != nullptr) {
    record = RecordOf(*caller, on_behalf_of);
  } else {
    record.mutable_caller()->set_listener(std::string(listener));
    record.mutable_caller()->set_peer(std::string(peer));
  }
  record.set_request_id(std::string(request_id));
  record.set_trace(std::string(trace));
  record.set_event(EventOf(failure.reason));
  const std::shared_ptr<const ConfigSnapshot> config = stages_.config.Get();
  record.set_config(config->fingerprint);
  Describe(failure, record);
  stages_.audit.NoteRefusal(std::move(record), AllowanceOf(*config, caller));
  for (const QuotaViolation& spent : failure.quotas) stages_.metrics.LimitRefused(spent.subject);
}

}  // namespace tokend::issue
