#include "daemon/rpc/server_settings.h"

#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/identity/jwt_authenticator.h"
#include "daemon/identity/make_authenticator.h"
#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

using TimePoint = std::chrono::system_clock::time_point;

bool NamesOneCaller(const std::vector<config::Grant>& grants) {
  std::set<std::string> callers;
  for (const config::Grant& grant : grants) callers.insert(grant.callers.begin(), grant.callers.end());
  return callers.size() == 1 && callers.begin()->find('*') == std::string::npos;
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

// Logs each failed fetch, and the keys that a set leaves out once for each set.
identity::FetchObserver LogOfFetches(const std::string& listener) {
  return [listener, logged = std::string()](const Result<identity::KeySource::Keys>& fetched) mutable {
    if (!fetched.ok()) {
      const std::string detail(fetched.status().message());
      telemetry::Log(config::LogLevel::kWarning, "jwks_fetch_failed",
                     {{"listener", listener}, {"detail", detail}});
      return;
    }
    const identity::KeySet& keys = **fetched;
    if (keys.left_out().empty() || keys.digest() == logged) return;
    logged = keys.digest();
    telemetry::Log(config::LogLevel::kWarning, "jwks_keys_left_out",
                   {{"listener", listener}, {"detail", keys.left_out()}});
  };
}

// What a key set in a file leaves out is a warning.
void WarnOfKeysLeftOut(const config::Listener& listener, std::size_t index,
                       const identity::Authenticator& authenticator, ServerSettings& settings) {
  const auto* jwt = dynamic_cast<const identity::JwtAuthenticator*>(&authenticator);
  if (jwt == nullptr || JwksUrlOf(listener.authentication) != nullptr) return;
  const std::string& left_out = jwt->keys()->left_out();
  if (left_out.empty()) return;
  settings.warnings.push_back(
      Of(listener, index, "authentication.jwt.jwks_file", absl::InvalidArgumentError(left_out)));
}

// Why clients refuse the certificate now; empty if they do not.
std::string DateProblem(const TlsContext::Validity& validity, TimePoint now) {
  const auto said = [](const char* what, TimePoint when) {
    return absl::StrCat(what,
                        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(when), absl::UTCTimeZone()));
  };
  if (now > validity.not_after) return said("has expired at ", validity.not_after);
  return now < validity.not_before ? said("is not valid before ", validity.not_before) : "";
}

// The listener's TLS context, which is that of `running` if nothing has changed or the new certificate must
// not replace it.
Result<std::shared_ptr<const TlsContext>> ReadTls(const config::Listener& listener, std::size_t index,
                                                  const ServerSettings::Listener* running,
                                                  ServerSettings& settings) {
  if (!listener.tls) return nullptr;
  auto read = TlsContext::Read(*listener.tls);
  if (!read.ok()) return Of(listener, index, "tls", read.status());
  const std::shared_ptr<const TlsContext> before = running != nullptr ? running->tls : nullptr;
  const bool same = before && before->Equals(**read);
  const TimePoint now = std::chrono::system_clock::now();
  const std::string problem = DateProblem((*read)->validity(), now);
  const auto say = [&](const char* then) {
    return Of(listener, index, "tls.certificate_file",
              absl::InvalidArgumentError(absl::StrCat(listener.tls->certificate_file, " ", problem, then)));
  };
  const bool is_worse =
      before && !same && now > (*read)->validity().not_after && DateProblem(before->validity(), now).empty();
  if (is_worse) {
    settings.refused.push_back(say("; the listener keeps its valid certificate, key and CA"));
    return before;
  }
  for (const std::string& warning : (*read)->warnings()) {
    settings.warnings.push_back(
        Of(listener, index, "tls.client_ca_file", absl::InvalidArgumentError(warning)));
  }
  if (!problem.empty()) settings.warnings.push_back(say("; clients refuse it"));
  return same ? before : *std::move(read);
}

}  // namespace

Result<ServerSettings> ReadServerSettings(const config::Config& config, const ServerSettings* running,
                                          config::Contents contents, loop::CurlLoop* loop) {
  ServerSettings settings;
  settings.max_in_flight = config.server.max_in_flight;
  settings.one_caller = NamesOneCaller(config.grants);
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    const config::Listener& listener = config.listeners[i];
    const ServerSettings::Listener* before = running != nullptr ? &running->listeners[i] : nullptr;
    auto tls = ReadTls(listener, i, before, settings);
    if (!tls.ok()) return tls.status();
    if (contents == config::Contents::kFiles && JwksUrlOf(listener.authentication) != nullptr) continue;
    auto authenticator =
        identity::MakeAuthenticator(listener, before != nullptr ? before->authenticator : nullptr,
                                    {.loop = loop, .observer = LogOfFetches(listener.name)});
    if (!authenticator.ok()) {
      return Of(listener, i, "authentication.jwt.jwks_file", authenticator.status());
    }
    WarnOfKeysLeftOut(listener, i, **authenticator, settings);
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
