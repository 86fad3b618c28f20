#include "daemon/issue/request_charges.h"

namespace tokend::issue {
namespace {

state::Charge ChargeOf(const config::Limit& limit, const std::string& whose, const state::LimitKey& key) {
  return {key, state::Rate(limit), whose + "/" + limit.name};
}

}  // namespace

std::vector<state::Charge> OwnLimitsOf(const config::Grant& grant, const std::string& caller) {
  std::vector<state::Charge> own;
  own.reserve(grant.limits.size() + grant.shared_limits.size());
  for (const config::Limit& limit : grant.limits) {
    own.push_back(ChargeOf(limit, grant.name, state::KeyOf({"caller", grant.name, limit.name, caller})));
  }
  return own;
}

state::Charge ChargeOf(const config::Limit& limit, const std::string& organization) {
  return ChargeOf(limit, organization, state::KeyOf({"organization", organization, limit.name}));
}

state::Charges ChargesFor(const ConfigSnapshot& config, const config::Grant& grant, const std::string& caller,
                          const std::string& organization) {
  state::Charges charges{OwnLimitsOf(grant, caller), {}, organization, caller, grant.name};
  for (const config::Limit& limit : grant.shared_limits) {
    charges.own.push_back(ChargeOf(limit, grant.name, state::KeyOf({"grant", grant.name, limit.name})));
  }
  const auto limits = config.organization_limits.find(organization);
  if (limits == config.organization_limits.end()) return charges;
  for (const config::Limit& limit : limits->second) {
    charges.organization.push_back(ChargeOf(limit, organization));
  }
  return charges;
}

}  // namespace tokend::issue
