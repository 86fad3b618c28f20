#include "tests/flow/world.h"

#include <utility>

namespace tokend::flow {

config::Grant EveryonesGrant() {
  config::Grant grant;
  grant.name = "everyone";
  grant.callers = {"ci*", "ci"};
  grant.organizations = {"acme"};
  grant.applications = {"*"};
  grant.scopes = {"sdk", "beta"};
  grant.default_scopes = {"sdk"};
  grant.description_template = "{description}";
  return grant;
}

World::World(upstream::Upstream& upstream, fakes::HandCrankedLoop& event_loop, Options options)
    : loop(event_loop),
      availability(loop, {{"acme", {nullptr, config::KeyFile{}, 1}}}, {}),
      pacing{.slots = issue::UpstreamSlots(options.slots),
             .retries = issue::RetryPolicy([this](const std::string& organization, double retries) {
               metrics.SetRetryBudget(organization, retries);
             })},
      state(loop, options.requests, {}, options.on_unknown),
      options_(std::move(options)),
      upstream_(upstream),
      config_(SnapshotOf(options_.grant.value_or(EveryonesGrant()), {"acme"})),
      issuer_({loop, config_, state, pacing, audit, availability, upstream, metrics, live}) {}

World::~World() {
  live.Stop();
  upstream_.Stop();
  loop.Discard();
}

std::shared_ptr<const issue::ConfigSnapshot> World::SnapshotOf(
    const config::Grant& grant, const std::vector<std::string>& organizations) const {
  std::vector<config::Organization> configured;
  for (const std::string& name : organizations) configured.push_back({name, config::KeyFile{}});
  return std::make_shared<issue::ConfigSnapshot>(
      issue::ConfigSnapshot{"",
                            {{grant}, configured},
                            options_.audit_deadline,
                            {{"acme", options_.organization_limits}},
                            {Shares::Policy::kOneHolder, Shares::Policy::kOneHolder}});
}

void World::Reload(const config::Grant& grant, const std::vector<std::string>& organizations) {
  const auto snapshot = SnapshotOf(grant, organizations);
  default_organization_ = snapshot->policy.default_organization();
  config_.Set(snapshot);
}

std::variant<issue::Entitlement, Failure> World::Show(const std::string& caller) {
  std::variant<issue::Entitlement, Failure> seen;
  issuer_.Show(fakes::CallerNamed(caller),
               [&seen](std::variant<issue::Entitlement, Failure> shown) { seen = std::move(shown); });
  loop.RunPending();
  return seen;
}

CallSeen& World::Ask(const fakes::Request& request, const std::string& caller,
                     std::chrono::nanoseconds patience) {
  CallSeen& seen = calls_.emplace_back();
  seen.call = issuer_.Create(fakes::CallerNamed(caller), fakes::RequestFor(request, default_organization_),
                             loop.clock().Now() + patience, [&seen](issue::Reply reply) {
                               seen.reply = std::move(reply);
                               ++seen.replies;
                             });
  return seen;
}

}  // namespace tokend::flow
