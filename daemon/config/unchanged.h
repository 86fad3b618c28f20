#pragma once

#include "daemon/config/report.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Reports each key of `next` that is read only at the start (KeyOptions.at_start) and has another value in
// `running`.
void CheckUnchanged(const v1::Config& running, const v1::Config& next, Report& report);

}  // namespace tokend::config
