#pragma once

#include "daemon/config/config.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Builds the configuration of the daemon's parts. The schema has been read and judged without an error.
Config Build(const v1::Config& schema);

}  // namespace tokend::config
