#include "daemon/app/settings.h"

#include <utility>

#include "daemon/config/load.h"

namespace tokend::app {
namespace {

// Of the keys where the configuration's text is the one in effect.
Rejection::Of Culprit(const config::LoadResult& loaded, const Settings* running) {
  const bool same = running != nullptr && running->text_fingerprint == loaded.text_fingerprint;
  return same ? Rejection::Of::kKey : Rejection::Of::kConfig;
}

}  // namespace

std::variant<Settings, Rejection> ReadSettings(const std::string& path, const Settings* running) {
  config::LoadResult loaded = config::Load(path, running != nullptr ? &running->config : nullptr);
  const Rejection::Of culprit = Culprit(loaded, running);
  if (!loaded.config) return Rejection{culprit, std::move(loaded.errors), std::move(loaded.files)};
  const auto unusable = [&](const Status& status) {
    return Rejection{culprit, {"error: " + std::string(status.message())}, std::move(loaded.files)};
  };
  Settings settings{*std::move(loaded.config), std::move(loaded.text_fingerprint), {}, {}, {}, {}};

  Result<upstream::KeyRing> keys = upstream::ReadKeys(settings.config.applivery.organizations,
                                                      running != nullptr ? &running->api_keys : nullptr);
  if (!keys.ok()) return unusable(keys.status());
  settings.api_keys = *std::move(keys);

  Result<audit::Keys> audit_keys =
      audit::ReadKeys(settings.config.audit, running != nullptr ? &running->audit_keys : nullptr);
  if (!audit_keys.ok()) return unusable(audit_keys.status());
  settings.audit_keys = *std::move(audit_keys);

  Result<rpc::EdgeSettings> edge =
      rpc::ReadEdgeSettings(settings.config, running != nullptr ? &running->edge : nullptr);
  if (!edge.ok()) return unusable(edge.status());
  settings.edge = *std::move(edge);

  const auto* redis = std::get_if<config::RedisState>(&settings.config.state);
  if (redis != nullptr && running == nullptr) {
    Result<state::RedisSecrets> secrets = state::ReadRedisSecrets(*redis);
    if (!secrets.ok()) return unusable(secrets.status());
    settings.redis = *std::move(secrets);
  }
  return settings;
}

}  // namespace tokend::app
