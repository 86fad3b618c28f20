#include "daemon/app/admin_page.h"

#include <string>
#include <utility>

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
      {"state", [&state = sources.state] { return state.health(); }},
      {"serving",
       [&serving = sources.serving]() -> Status {
         return serving ? absl::OkStatus() : absl::UnavailableError("starting or draining");
       }},
      {"audit",
       [&audit = sources.audit]() -> Status {
         return audit.healthy() ? absl::OkStatus() : absl::UnavailableError("records cannot be made durable");
       }},
  };
  options.troubles = [&availability = sources.availability] { return availability.Troubles(); };
  auto admin = telemetry::AdminServer::Start(std::move(options), sources.metrics);
  if (!admin.ok()) return admin;
  for (const std::string& listens : (*admin)->addresses()) {
    telemetry::Log(config::LogLevel::kInfo, "listening", {{"listener", "admin"}, {"address", listens}});
  }
  return admin;
}

}  // namespace tokend::app
