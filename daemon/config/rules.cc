#include "daemon/config/rules.h"

namespace tokend::config {

void ApplyAuditRules(Report& report) {
  if (!report.Has("audit")) return;
  if (!report.Has("audit.file") && !report.Has("audit.stdout")) {
    report.Error("audit", "needs at least one of file, stdout");
  }
  if (!report.Has("audit.fingerprint_key_file")) {
    report.Warning("audit",
                   "without fingerprint_key_file the key is made at start and lost at stop: tokens then "
                   "cannot be matched with records of an earlier run");
  }
}

void ApplyRules(v1::Config& schema, Report& report) {
  ApplyListenerRules(schema, report);
  ApplyUpstreamRules(schema, report);
  ApplyPolicyRules(schema, report);
  ApplyAuditRules(report);
}

}  // namespace tokend::config
