#include "daemon/app/admin_page.h"

#include <chrono>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/overload.h"
#include "daemon/telemetry/log.h"

namespace tokend::app {
namespace {

// The address of a relay's central tokend.
std::string CentreOf(const config::Upstream& upstream) {
  return std::visit(Overload{[](const config::Applivery&) { return std::string(); },
                             [](const config::TokendUpstream& tokend) { return ToString(tokend.address); }},
                    upstream);
}

telemetry::ConfigurationState ConfigurationOf(const std::string& digest, const LastReload& last) {
  return {.digest = digest,
          .reloaded = last.time,
          .in_effect = last.errors.empty(),
          .errors = last.errors.size(),
          .first_error = last.errors.empty() ? "" : last.errors.front()};
}

telemetry::SystemState SystemOf(const AdminSources& sources) {
  const auto config = sources.current.Get();
  const auto last = sources.reloader.last();
  const LimitLevels::Levels levels = sources.levels.GetAndRefresh();
  telemetry::SystemState system{.configuration = ConfigurationOf(config->fingerprint, *last),
                                .limits_read = levels.read};
  for (const auto& [name, limits] : config->organization_limits) {
    const auto generation = last->key_generations.find(name);
    telemetry::OrganizationState& organization =
        system.organizations.emplace_back(telemetry::OrganizationState{
            name, generation == last->key_generations.end() ? 0 : generation->second});
    for (const config::Limit& limit : limits) {
      telemetry::LimitState& shown = organization.limits.emplace_back(
          telemetry::LimitState{limit.name, limit.tokens, limit.per, limit.burst});
      const auto remaining = levels.remaining.find({name, limit.name});
      if (remaining != levels.remaining.end()) shown.remaining = remaining->second;
    }
  }
  const auto fetched = sources.server.fetched_keys();
  for (rpc::ListenerStatus& listener : sources.server.listeners()) {
    telemetry::ListenerState& shown = system.listeners.emplace_back(
        telemetry::ListenerState{std::move(listener.name), std::move(listener.addresses),
                                 listener.connections, listener.certificate_not_after});
    const auto keys = fetched.find(shown.name);
    if (keys == fetched.end() || !keys->second.age) continue;
    shown.keys_age = std::chrono::floor<std::chrono::seconds>(*keys->second.age);
  }
  return system;
}

}  // namespace

Result<std::unique_ptr<telemetry::AdminServer>> StartAdminPage(const AdminSources& sources) {
  const auto& address = sources.reloader.settings().config.admin;
  if (!address) return nullptr;
  telemetry::AdminOptions options;
  options.address = *address;
  options.system = [sources, centre = CentreOf(sources.reloader.settings().config.upstream)] {
    telemetry::SystemState system = SystemOf(sources);
    system.centre = centre;
    return system;
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
