#include "daemon/app/admin_page.h"

#include <string>
#include <utility>
#include <vector>

#include "daemon/telemetry/log.h"

namespace tokend::app {

Result<std::unique_ptr<telemetry::AdminServer>> StartAdminPage(const AdminSources& sources) {
  const auto& address = sources.reloader.settings().config.admin;
  if (!address) return nullptr;
  telemetry::AdminOptions options;
  options.address = *address;
  options.configuration = [&current = sources.current, &reloader = sources.reloader] {
    const char* rejected = ", the last reload was rejected: what the files say now is not in effect";
    return current.Get()->fingerprint + (reloader.rejected() ? rejected : "");
  };
  options.checks = {
      {"state", [&state = sources.state] { return state.health(); }, false},
      {"ledger", [&state = sources.state] { return state.quarantine(); }, false},
      {"serving",
       [&readiness = sources.readiness]() -> Status {
         return readiness.serving() ? absl::OkStatus() : absl::UnavailableError("starting or draining");
       }},
      {"audit",
       [&audit = sources.audit]() -> Status {
         return audit.healthy() ? absl::OkStatus() : absl::UnavailableError("records cannot be made durable");
       }},
  };
  options.troubles = [&availability = sources.availability, &reach = sources.reach, &server = sources.server,
                      &state = sources.state] {
    std::vector<std::string> troubles = availability.Troubles();
    if (auto trouble = reach.trouble()) troubles.push_back(*std::move(trouble));
    for (std::string& trouble : state.Troubles()) troubles.push_back(std::move(trouble));
    for (const auto& [listener, keys] : server.fetched_keys()) {
      if (keys.usable) continue;
      troubles.push_back("listener " + listener + ": no caller can be known without keys: " + keys.error);
    }
    return troubles;
  };
  options.refresh_metrics = [&server = sources.server, &metrics = sources.metrics, &audit = sources.audit] {
    metrics.SetAuditWritable(audit.healthy());
    for (const auto& [listener, keys] : server.fetched_keys()) {
      if (keys.age) metrics.SetJwksAge(listener, *keys.age);
    }
  };
  auto admin = telemetry::AdminServer::Start(std::move(options), sources.metrics);
  if (!admin.ok()) return admin;
  for (const std::string& listens : (*admin)->addresses()) {
    telemetry::Log(config::LogLevel::kInfo, "listening", {{"listener", "admin"}, {"address", listens}});
  }
  return admin;
}

}  // namespace tokend::app
