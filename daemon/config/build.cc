#include "daemon/config/build.h"

#include <cassert>
#include <cstdlib>

#include "daemon/config/address.h"
#include "daemon/config/schema.h"

namespace tokend::config {
namespace {

using std::chrono::milliseconds;

// A schema without errors chooses one of the supported kinds.
[[noreturn]] void EndWithoutKind() {
  assert(false);
  std::abort();
}

template <class List>
std::vector<std::string> Texts(const List& list) {
  return {list.begin(), list.end()};
}

UnixAuthentication BuildUnix(const v1::UnixAuthentication& schema) {
  UnixAuthentication authentication;
  for (const v1::UnixCaller& caller : schema.callers()) {
    authentication.callers.push_back({.uid = caller.uid(), .name = caller.name()});
  }
  return authentication;
}

JwtAuthentication BuildJwt(const v1::JwtAuthentication& schema) {
  JwtAuthentication authentication;
  authentication.issuer = schema.issuer();
  authentication.audience = schema.audience();
  switch (schema.jwks_case()) {
    case v1::JwtAuthentication::kJwksFile:
      authentication.jwks = JwksFile{.path = schema.jwks_file()};
      break;
    case v1::JwtAuthentication::kJwksUrl:
      authentication.jwks = JwksUrl{
          .url = schema.jwks_url(), .ca_file = schema.jwks_ca_file(), .token_file = schema.jwks_token_file()};
      break;
    case v1::JwtAuthentication::JWKS_NOT_SET:
      EndWithoutKind();
  }
  authentication.caller_template = schema.caller();
  authentication.trust_domain = schema.trust_domain();
  return authentication;
}

ListenerAuthentication BuildAuthentication(const v1::Authentication& schema) {
  switch (schema.kind_case()) {
    case v1::Authentication::kUnix:
      return BuildUnix(schema.unix());
    case v1::Authentication::kMtls:
      return MtlsAuthentication{};
    case v1::Authentication::kJwt:
      return BuildJwt(schema.jwt());
    case v1::Authentication::kNone:
      return NoAuthentication{.caller = schema.none().caller()};
    case v1::Authentication::KIND_NOT_SET:
      break;
  }
  EndWithoutKind();
}

Listener BuildListener(const v1::Listener& schema) {
  Listener listener;
  listener.name = schema.name();
  listener.address = *ParseAddress(schema.address());
  listener.socket_mode = schema.socket_mode();
  if (schema.has_tls()) {
    listener.tls = ServerTls{.certificate_file = schema.tls().certificate_file(),
                             .private_key_file = schema.tls().private_key_file(),
                             .client_ca_file = schema.tls().client_ca_file()};
  }
  listener.authentication = BuildAuthentication(schema.authentication());
  if (schema.has_max_connections_per_peer()) {
    listener.max_connections_per_peer = schema.max_connections_per_peer();
  }
  return listener;
}

ApiKeySource BuildApiKeySource(const v1::ApiKeySource& schema) {
  switch (schema.source_case()) {
    case v1::ApiKeySource::kFile:
      return KeyFile{.path = schema.file()};
    case v1::ApiKeySource::kEnv:
      return KeyEnvironment{.variable = schema.env()};
    case v1::ApiKeySource::kCredential:
      return KeyCredential{.name = schema.credential()};
    case v1::ApiKeySource::SOURCE_NOT_SET:
      break;
  }
  EndWithoutKind();
}

template <class List>
std::vector<Limit> BuildLimits(const List& schema) {
  std::vector<Limit> limits;
  for (const v1::Limit& limit : schema) {
    limits.push_back({.name = limit.name(),
                      .tokens = limit.tokens(),
                      .per = milliseconds(limit.per()),
                      .burst = limit.has_burst() ? limit.burst() : limit.tokens()});
  }
  return limits;
}

Applivery BuildApplivery(const v1::Applivery& schema) {
  Applivery applivery;
  applivery.base_url = schema.base_url();
  applivery.allow_http = schema.allow_http();
  applivery.ca_file = schema.ca_file();
  applivery.connect_timeout = milliseconds(schema.connect_timeout());
  applivery.timeout = milliseconds(schema.timeout());
  applivery.max_in_flight = schema.max_in_flight();
  applivery.connection_max_idle = milliseconds(schema.connection_max_idle());
  applivery.max_response_size = schema.max_response_size();
  return applivery;
}

Upstream BuildUpstream(const v1::Upstream& schema) {
  switch (schema.kind_case()) {
    case v1::Upstream::kApplivery:
      return BuildApplivery(schema.applivery());
    case v1::Upstream::kTokend:  // not supported: an error
    case v1::Upstream::KIND_NOT_SET:
      break;
  }
  EndWithoutKind();
}

Organization BuildOrganization(const v1::Organization& schema) {
  return {.name = schema.name(),
          .api_key = BuildApiKeySource(schema.api_key()),
          .limits = BuildLimits(schema.limits())};
}

Grant BuildGrant(const v1::Grant& schema) {
  Grant grant{.name = schema.name(),
              .callers = Texts(schema.callers()),
              .organizations = Texts(schema.organizations()),
              .applications = Texts(schema.applications()),
              .scopes = Texts(schema.scopes()),
              .default_scopes = Texts(schema.default_scopes()),
              .description_template = schema.description(),
              .limits = BuildLimits(schema.limits()),
              .shared_limits = BuildLimits(schema.shared_limits())};
  if (schema.has_max_in_flight()) grant.max_in_flight = schema.max_in_flight();
  return grant;
}

RedisState BuildRedisState(const v1::RedisState& schema) {
  RedisState redis;
  redis.address = *ParseAddress(schema.address());
  redis.username = schema.username();
  redis.password_file = schema.password_file();
  redis.encryption_key_file = schema.encryption_key_file();
  redis.on_failure = schema.on_failure() == v1::RedisState::ON_FAILURE_LOCAL ? OnRedisFailure::kLocal
                                                                             : OnRedisFailure::kDeny;
  return redis;
}

State BuildState(const v1::State& schema) {
  switch (schema.kind_case()) {
    case v1::State::kMemory:
      return MemoryState{};
    case v1::State::kRedis:
      return BuildRedisState(schema.redis());
    case v1::State::KIND_NOT_SET:
      break;
  }
  EndWithoutKind();
}

Audit BuildAudit(const v1::Audit& schema) {
  Audit audit;
  if (schema.has_file()) {
    audit.file = AuditFile{
        .path = schema.file().path(), .max_size = schema.file().max_size(), .keep = schema.file().keep()};
  }
  audit.to_stdout = schema.has_stdout();
  audit.deadline = milliseconds(schema.deadline());
  audit.signing_key_file = schema.signing_key_file();
  audit.fingerprint_key_file = schema.fingerprint_key_file();
  return audit;
}

Log BuildLog(const v1::Log& schema) {
  Log log;
  switch (schema.level()) {
    case v1::Log::LEVEL_TRACE:
      log.level = LogLevel::kTrace;
      break;
    case v1::Log::LEVEL_DEBUG:
      log.level = LogLevel::kDebug;
      break;
    case v1::Log::LEVEL_WARNING:
      log.level = LogLevel::kWarning;
      break;
    case v1::Log::LEVEL_ERROR:
      log.level = LogLevel::kError;
      break;
    default:
      log.level = LogLevel::kInfo;
  }
  log.format = schema.format() == v1::Log::FORMAT_TEXT ? LogFormat::kText : LogFormat::kJson;
  return log;
}

}  // namespace

Config Build(const v1::Config& schema) {
  Config config;
  for (const v1::Listener& listener : schema.listeners()) config.listeners.push_back(BuildListener(listener));
  config.upstream = BuildUpstream(schema.upstream());
  for (const v1::Organization& organization : OrganizationsOf(schema.upstream())) {
    config.organizations.push_back(BuildOrganization(organization));
  }
  for (const v1::Grant& grant : schema.policy().grants()) config.grants.push_back(BuildGrant(grant));
  config.requests.remember = milliseconds(schema.requests().remember());
  config.requests.max_entries = schema.requests().max_entries();
  config.state = BuildState(schema.state());
  config.audit = BuildAudit(schema.audit());
  config.server.max_in_flight = schema.server().max_in_flight();
  config.server.drain_delay = milliseconds(schema.server().drain_delay());
  config.server.drain = milliseconds(schema.server().drain());
  if (schema.has_admin()) config.admin = std::get<TcpAddress>(*ParseAddress(schema.admin().address()));
  config.log = BuildLog(schema.log());
  return config;
}

}  // namespace tokend::config
