#pragma once

#include "daemon/config/report.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Reports each key of `next` that is read at the start alone (KeyOptions.at_start) and is not what it is in
// `running`.
void CheckUnchanged(const v1::Config& running, const v1::Config& next, Report& report);

}  // namespace tokend::config
