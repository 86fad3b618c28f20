#pragma once

#include "daemon/config/named_files.h"
#include "daemon/config/report.h"
#include "tokend/config/v1/config.pb.h"

// What holds between keys, where reader.h judges each key for itself. Keys that are unset because they are
// wrong have been reported, and nothing more is said of them; so have empty items of lists.
namespace tokend::config {

// All of the below. Afterwards the schema holds what is in effect: defaults that depend on other keys are
// filled in, and spellings that mean the same are made one.
void ApplyRules(v1::Config& schema, NamedFiles files, Report& report);

void ApplyListenerRules(v1::Config& schema, NamedFiles files, Report& report);
void ApplyUpstreamRules(v1::Config& schema, Report& report);
void ApplyPolicyRules(v1::Config& schema, Report& report);
void ApplyStateRules(const v1::Config& schema, Report& report);
void ApplyAuditRules(const v1::Config& schema, Report& report);

}  // namespace tokend::config
