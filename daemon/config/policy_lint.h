#pragma once

#include <set>
#include <string>

#include "daemon/config/report.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Warns of grants that are valid and yet hardly meant: callers' patterns that take in nearly everyone,
// callers that no listener makes, and grants that never decide because an earlier one takes all that they
// could. `organizations` are the configured ones. Says nothing that is not certain, and looks at no more than
// a fixed number of pairs of grants.
void LintPolicy(const v1::Config& schema, const std::set<std::string>& organizations, Report& report);

}  // namespace tokend::config
