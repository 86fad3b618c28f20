#include "daemon/rpc/server_settings.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/identity/jwt_authenticator.h"
#include "daemon/identity/make_authenticator.h"
#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

Result<std::shared_ptr<const TlsContext>> ReadTls(const config::Listener& listener,
                                                  const ServerSettings::Listener* running) {
  if (!listener.tls) return nullptr;
  Result<std::shared_ptr<const TlsContext>> read = TlsContext::Read(*listener.tls);
  const bool same = read.ok() && running != nullptr && running->tls && running->tls->Equals(**read);
  return same ? running->tls : read;
}

// Whether both verify JWTs, both have their keys, and the keys differ.
bool HasOtherKeys(const identity::Authenticator& running, const identity::Authenticator& next) {
  const auto* before = dynamic_cast<const identity::JwtAuthenticator*>(&running);
  const auto* after = dynamic_cast<const identity::JwtAuthenticator*>(&next);
  if (before == nullptr || after == nullptr) return false;
  const auto was = before->keys();
  const auto is = after->keys();
  return was && is && was->digest() != is->digest();
}

Status Of(const config::Listener& listener, std::size_t index, const std::string& key, const Status& status) {
  return config::AtKey(absl::StrCat("listeners[", index, "].", key),
                       {status.code(), absl::StrCat("listener ", listener.name, ": ", status.message())});
}

identity::FetchObserver LogOfFetches(const std::string& listener) {
  return [listener](const Status& fetched) {
    if (fetched.ok()) return;
    const std::string detail(fetched.message());
    telemetry::Log(config::LogLevel::kWarning, "jwks_fetch_failed",
                   {{"listener", listener}, {"detail", detail}});
  };
}

}  // namespace

Result<ServerSettings> ReadServerSettings(const config::Config& config, const ServerSettings* running,
                                          config::Contents contents, loop::CurlLoop* loop) {
  ServerSettings settings;
  settings.max_in_flight = config.server.max_in_flight;
  settings.one_caller = config::NamesOneCaller(config.grants);
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    const config::Listener& listener = config.listeners[i];
    const ServerSettings::Listener* before = running != nullptr ? &running->listeners[i] : nullptr;
    auto tls = ReadTls(listener, before);
    if (!tls.ok()) return Of(listener, i, "tls", tls.status());
    if (contents == config::Contents::kFiles && JwksUrlOf(listener.authentication) != nullptr) continue;
    auto authenticator =
        identity::MakeAuthenticator(listener, before != nullptr ? before->authenticator : nullptr,
                                    {.loop = loop, .observer = LogOfFetches(listener.name)});
    if (!authenticator.ok()) {
      return Of(listener, i, "authentication.jwt.jwks_file", authenticator.status());
    }
    settings.listeners.push_back({listener.name, *std::move(tls), *std::move(authenticator)});
  }
  return settings;
}

std::vector<std::string> ChangedKeys(const ServerSettings& running, const ServerSettings& next) {
  std::vector<std::string> changes;
  for (std::size_t i = 0; i < next.listeners.size(); ++i) {
    if (running.listeners[i].tls != next.listeners[i].tls) {
      changes.push_back("listener " + next.listeners[i].name + ": certificate, key or CA");
    }
    if (HasOtherKeys(*running.listeners[i].authenticator, *next.listeners[i].authenticator)) {
      changes.push_back("listener " + next.listeners[i].name + ": key set");
    }
  }
  return changes;
}

}  // namespace tokend::rpc
