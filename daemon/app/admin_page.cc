#include "daemon/app/admin_page.h"

#include <string>
#include <utility>
#include <vector>

#include "daemon/telemetry/log.h"

namespace tokend::app {
namespace {

// What readiness depends on.
std::vector<telemetry::Check> ChecksOf(const AdminSources& sources) {
  return {
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
}

}  // namespace

Result<std::unique_ptr<telemetry::AdminServer>> StartAdminPage(const config::Config& config,
                                                               const AdminSources& sources) {
  if (!config.admin) return nullptr;
  telemetry::AdminOptions options{
      .address = *config.admin,
      .configuration =
          [&current = sources.current, &reloader = sources.reloader] {
            const char* rejected = ", the last reload was rejected: what the files say now is not in effect";
            return current.Get()->fingerprint + (reloader.rejected() ? rejected : "");
          },
      .checks = ChecksOf(sources),
      .troubles = [&availability = sources.availability] { return availability.Troubles(); }};
  auto admin = telemetry::AdminServer::Start(std::move(options), sources.metrics);
  if (!admin.ok()) return admin;
  const std::string address = ToString(config::TcpAddress{config.admin->host, (*admin)->port()});
  telemetry::Log(config::LogLevel::kInfo, "listening", {{"listener", "admin"}, {"address", address}});
  return admin;
}

}  // namespace tokend::app
