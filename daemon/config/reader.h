#pragma once

#include "daemon/config/named_files.h"
#include "daemon/config/report.h"
#include "daemon/config/yaml.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Fills the schema from a document, by reflection: unknown, repeated, missing and unsupported keys, types,
// forms, bounds and files are judged here, each key for itself, and absent keys get their defaults. What is
// wrong stays unset. The report then knows where each key of the document stands.
void Read(const YamlNode& document, NamedFiles files, Report& report, v1::Config& schema);

}  // namespace tokend::config
