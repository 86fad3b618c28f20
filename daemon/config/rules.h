#pragma once

#include "daemon/config/named_files.h"
#include "daemon/config/report.h"
#include "tokend/config/v1/config.pb.h"

// Rules between keys; reader.h judges each key by itself. A key with an error is unset and an item with an
// error empty: they have been reported, and no rule reports them again.
namespace tokend::config {

// Applies all rules below. Afterwards the schema holds the values in effect: defaults that depend on other
// keys are filled in, and spellings with one meaning are made equal.
void ApplyRules(v1::Config& schema, NamedFiles files, Report& report);

void ApplyListenerRules(v1::Config& schema, NamedFiles files, Report& report);
void ApplyUpstreamRules(v1::Config& schema, Report& report);
void ApplyPolicyRules(v1::Config& schema, Report& report);
void ApplyStateRules(const v1::Config& schema, Report& report);
void ApplyAuditRules(const v1::Config& schema, Report& report);

}  // namespace tokend::config
