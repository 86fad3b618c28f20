#include "daemon/app/settings.h"

#include <utility>

#include "daemon/config/load.h"

namespace tokend::app {
namespace {

Rejection Unusable(const Status& status, std::vector<std::string> files) {
  return {Rejection::Of::kKey, {"error: " + std::string(status.message())}, std::move(files)};
}

}  // namespace

std::variant<Settings, Rejection> ReadSettings(const std::string& path, const Settings* running) {
  config::LoadResult loaded = config::Load(path, running != nullptr ? &running->config : nullptr);
  if (!loaded.config) {
    const bool same = running != nullptr && running->text_fingerprint == loaded.text_fingerprint;
    return Rejection{same ? Rejection::Of::kKey : Rejection::Of::kConfig, std::move(loaded.errors),
                     std::move(loaded.files)};
  }
  Settings settings{*std::move(loaded.config), std::move(loaded.text_fingerprint), {}, {}, {}};

  Result<upstream::KeyRing> keys = upstream::ReadKeys(settings.config.applivery.organizations,
                                                      running != nullptr ? &running->api_keys : nullptr);
  if (!keys.ok()) return Unusable(keys.status(), settings.config.files);
  settings.api_keys = *std::move(keys);

  Result<audit::Keys> audit_keys =
      audit::ReadKeys(settings.config.audit, running != nullptr ? &running->audit_keys : nullptr);
  if (!audit_keys.ok()) return Unusable(audit_keys.status(), settings.config.files);
  settings.audit_keys = *std::move(audit_keys);

  Result<rpc::EdgeSettings> edge =
      rpc::ReadEdgeSettings(settings.config, running != nullptr ? &running->edge : nullptr);
  if (!edge.ok()) return Unusable(edge.status(), settings.config.files);
  settings.edge = *std::move(edge);
  return settings;
}

}  // namespace tokend::app
