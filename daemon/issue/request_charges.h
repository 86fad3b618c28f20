#pragma once

#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/state/charges.h"

namespace tokend::issue {

// One token of each of the grant's limits that count each caller for itself.
std::vector<state::Charge> OwnLimitsOf(const config::Grant& grant, const std::string& caller);

// One token of a limit of the organization.
state::Charge ChargeOf(const config::Limit& limit, const std::string& organization);

// What a request under this grant spends. A bucket's key is made of the names of its limit and of the grant,
// organization or caller that it counts: a reload that changes a limit's numbers keeps what is spent.
state::Charges ChargesFor(const ConfigSnapshot& config, const config::Grant& grant, const std::string& caller,
                          const std::string& organization);

}  // namespace tokend::issue
