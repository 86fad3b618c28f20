#include "daemon/app/settings.h"

#include <map>
#include <utility>

#include "daemon/app/upstream_factory.h"
#include "daemon/base/certificates.h"
#include "daemon/config/contents.h"
#include "daemon/config/load.h"

namespace tokend::app {
namespace {

// The CA files of the HTTP clients, which read them again as they connect, by the key that names them.
std::map<std::string, std::string> CaFiles(const config::Config& config) {
  std::map<std::string, std::string> files = TraitsOf(config.upstream).ca_files;
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    if (const auto* url = JwksUrlOf(config.listeners[i].authentication)) {
      files["listeners[" + std::to_string(i) + "].authentication.jwt.jwks_ca_file"] = url->ca_file;
    }
  }
  std::erase_if(files, [](const auto& file) { return file.second.empty(); });
  return files;
}

}  // namespace

std::variant<Settings, Rejection> ReadSettings(const std::string& path, loop::CurlLoop* loop,
                                               const Settings* running) {
  const auto contents = loop != nullptr ? config::Contents::kAll : config::Contents::kFiles;
  config::LoadResult loaded = config::Load(path, running != nullptr ? &running->config : nullptr);
  const auto rejection = [&] {
    // The configuration is rejected, unless its text is the one in effect: then a key is.
    const bool same = running != nullptr && running->text_fingerprint == loaded.text_fingerprint;
    return Rejection{same ? Rejection::Of::kKey : Rejection::Of::kConfig, loaded.report.Errors(),
                     loaded.report.Warnings(), loaded.files};
  };
  if (!loaded.config) return rejection();
  Settings settings{*std::move(loaded.config), loaded.text_fingerprint, {}, {}, {}, {}, {}, {}};
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

  take(upstream::ReadKeys(config.organizations, running != nullptr ? &running->api_keys : nullptr, contents),
       settings.api_keys);
  if (const auto* tokend = std::get_if<config::TokendUpstream>(&config.upstream)) {
    take(upstream::ReadCentralCredentials(*tokend), settings.central);
  }
  take(audit::ReadKeys(config.audit, running != nullptr ? &running->audit_keys : nullptr),
       settings.audit_keys);
  take(rpc::ReadServerSettings(config, running != nullptr ? &running->edge : nullptr, contents, loop),
       settings.edge);
  const auto* redis = std::get_if<config::RedisState>(&config.state);
  if (redis != nullptr && running == nullptr) take(state::ReadRedisSecrets(*redis), settings.redis);
  for (const auto& [key, file] : CaFiles(config)) {
    const Result<std::string> ca = ReadCertificates(file);
    if (!ca.ok()) note(config::AtKey(key, ca.status()));
  }
  for (const Status& warning : settings.edge.warnings) {
    loaded.report.Warning(config::KeyOf(warning), std::string(warning.message()));
  }
  if (!usable) return rejection();
  settings.config.warnings = loaded.report.Warnings();
  for (const Status& refused : settings.edge.refused) {
    loaded.report.Error(config::KeyOf(refused), std::string(refused.message()));
  }
  settings.refused = loaded.report.Errors();
  return settings;
}

}  // namespace tokend::app
