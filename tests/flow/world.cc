#include "tests/flow/world.h"

#include <utility>

namespace tokend::flow {
namespace {

config::Grant EveryonesGrant() {
  config::Grant grant;
  grant.name = "everyone";
  grant.callers = {"ci*", "ci"};
  grant.organizations = {"acme"};
  grant.applications = {"*"};
  grant.scopes = {"sdk", "beta"};
  grant.default_scopes = {"sdk"};
  return grant;
}

}  // namespace

World::World(upstream::Upstream& upstream, fakes::HandCrankedLoop& event_loop, Options options)
    : loop(event_loop),
      ledger(loop, options.requests),
      slots(options.slots),
      config_(std::make_shared<issue::ConfigSnapshot>(issue::ConfigSnapshot{
          "", {{EveryonesGrant()}, {{"acme", config::KeyFile{}}}}, options.audit_deadline})),
      issuer_({loop, config_, ledger, slots, audit, upstream, metrics_, live}) {}

CallSeen& World::Ask(const fakes::Request& request, const std::string& caller) {
  CallSeen& seen = calls_.emplace_back();
  seen.call =
      issuer_.Create(fakes::CallerNamed(caller), fakes::RequestFor(request), [&seen](issue::Reply reply) {
        seen.reply = std::move(reply);
        ++seen.replies;
      });
  return seen;
}

}  // namespace tokend::flow
