#pragma once

#include "daemon/config/config.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// What the parts of the daemon are built from. The schema has been read and judged without an error.
Config Build(const v1::Config& schema);

}  // namespace tokend::config
