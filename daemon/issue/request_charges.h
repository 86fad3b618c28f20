#pragma once

#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/state/charges.h"

namespace tokend::issue {

// One token of each of the grant's limits that are its caller's own.
std::vector<state::Charge> OwnLimitsOf(const config::Grant& grant, const std::string& caller);

// What a request that the grant covers spends. A limit's bucket is known by the names of the limit and of
// whose it is: a reload that changes its numbers forgives nothing.
state::Charges ChargesFor(const ConfigSnapshot& config, const config::Grant& grant, const std::string& caller,
                          const std::string& organization);

}  // namespace tokend::issue
