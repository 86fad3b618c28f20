#pragma once

#include <set>
#include <string>

#include "daemon/config/report.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Warns of valid grants that are probably mistakes: patterns that match nearly every caller, callers that no
// listener can name, and grants that never decide because an earlier one covers them. `organizations` are the
// configured ones. Warns only where it is certain, and compares at most a fixed number of pairs of grants.
void LintPolicy(const v1::Config& schema, const std::set<std::string>& organizations, Report& report);

}  // namespace tokend::config
