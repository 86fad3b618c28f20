#include "daemon/app/settings.h"

#include <map>
#include <utility>

#include "daemon/base/certificates.h"
#include "daemon/config/load.h"

namespace tokend::app {
namespace {

// Of the keys where the configuration's text is the one in effect.
Rejection::Of Culprit(const config::LoadResult& loaded, const Settings* running) {
  const bool same = running != nullptr && running->text_fingerprint == loaded.text_fingerprint;
  return same ? Rejection::Of::kKey : Rejection::Of::kConfig;
}

// Those that are read anew for each connection, by the key that names them.
std::map<std::string, std::string> CaFiles(const config::Config& config) {
  std::map<std::string, std::string> files = {{"upstream.applivery.ca_file", config.applivery.ca_file}};
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    const auto* jwt = std::get_if<config::JwtAuthentication>(&config.listeners[i].authentication);
    const auto* url = jwt != nullptr ? std::get_if<config::JwksUrl>(&jwt->jwks) : nullptr;
    if (url != nullptr)
      files["listeners[" + std::to_string(i) + "].authentication.jwt.jwks_ca_file"] = url->ca_file;
  }
  std::erase_if(files, [](const auto& file) { return file.second.empty(); });
  return files;
}

}  // namespace

std::variant<Settings, Rejection> ReadSettings(const std::string& path, const Settings* running,
                                               config::Contents contents) {
  config::LoadResult loaded = config::Load(path, running != nullptr ? &running->config : nullptr);
  const auto rejection = [&] {
    return Rejection{Culprit(loaded, running), loaded.report.Errors(), loaded.warnings, loaded.files};
  };
  if (!loaded.config) return rejection();
  Settings settings{*std::move(loaded.config), loaded.text_fingerprint, {}, {}, {}, {}};
  const config::Config& config = settings.config;
  bool usable = true;
  const auto note = [&](const Status& status) {
    usable = false;
    loaded.report.Error(config::KeyOf(status), std::string(status.message()));
  };
  const auto take = [&](auto read, auto& into) {
    if (!read.ok()) return note(read.status());
    into = *std::move(read);
  };

  take(upstream::ReadKeys(config.applivery.organizations, running != nullptr ? &running->api_keys : nullptr,
                          contents),
       settings.api_keys);
  take(audit::ReadKeys(config.audit, running != nullptr ? &running->audit_keys : nullptr),
       settings.audit_keys);
  take(rpc::ReadServerSettings(config, running != nullptr ? &running->edge : nullptr, contents),
       settings.edge);
  const auto* redis = std::get_if<config::RedisState>(&config.state);
  if (redis != nullptr && running == nullptr) take(state::ReadRedisSecrets(*redis), settings.redis);
  for (const auto& [key, file] : CaFiles(config)) {
    const Result<std::string> ca = ReadCertificates(file);
    if (!ca.ok()) note(config::AtKey(key, ca.status()));
  }
  if (!usable) return rejection();
  return settings;
}

}  // namespace tokend::app
