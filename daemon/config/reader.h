#pragma once

#include "daemon/config/named_files.h"
#include "daemon/config/report.h"
#include "daemon/config/yaml.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Fills the schema from a document, by reflection. Judges each key by itself: unknown, repeated, missing and
// unsupported keys, types, forms, bounds and files. Absent keys get their defaults, and keys with an error
// stay unset. The report then knows the position of each key of the document.
void Read(const YamlNode& document, NamedFiles files, Report& report, v1::Config& schema);

}  // namespace tokend::config
