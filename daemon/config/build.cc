#include <cassert>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "daemon/base/text.h"
#include "daemon/config/address.h"
#include "daemon/config/schema.h"
#include "daemon/config/steps.h"

namespace tokend::config {
namespace {

using std::chrono::milliseconds;

// A schema without errors chooses one of the supported kinds.
[[noreturn]] void EndWithoutKind() {
  assert(false);
  std::abort();
}

UnixAuthentication BuildUnix(const v1::UnixAuthentication& schema) {
  UnixAuthentication authentication;
  for (const v1::UnixCaller& caller : schema.callers()) {
    authentication.callers.push_back({.uid = caller.uid(), .name = caller.name()});
  }
  return authentication;
}

std::variant<JwksFile, JwksUrl> BuildJwks(const v1::JwtAuthentication& schema) {
  switch (schema.jwks_case()) {
    case v1::JwtAuthentication::kJwksFile:
      return JwksFile{.path = schema.jwks_file()};
    case v1::JwtAuthentication::kJwksUrl:
      return JwksUrl{
          .url = schema.jwks_url(), .ca_file = schema.jwks_ca_file(), .token_file = schema.jwks_token_file()};
    case v1::JwtAuthentication::JWKS_NOT_SET:
      break;
  }
  EndWithoutKind();
}

JwtAuthentication BuildJwt(const v1::JwtAuthentication& schema) {
  return {.issuer = schema.issuer(),
          .audience = schema.audience(),
          .jwks = BuildJwks(schema),
          .caller_template = schema.caller(),
          .trust_domain = schema.trust_domain()};
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

// Whether another listener could make the same names, if not for its trust domain.
bool NeedsTrustDomain(const v1::JwtAuthentication& jwt, const v1::Config& schema) {
  return std::any_of(schema.listeners().begin(), schema.listeners().end(), [&jwt](const v1::Listener& other) {
    return other.authentication().has_jwt() && CanNameAlike(jwt, other.authentication().jwt());
  });
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
  return {.base_url = schema.base_url(),
          .allow_http = schema.allow_http(),
          .ca_file = schema.ca_file(),
          .connect_timeout = milliseconds(schema.connect_timeout()),
          .timeout = milliseconds(schema.timeout()),
          .max_in_flight = schema.max_in_flight(),
          .proxy = schema.proxy(),
          .connection_max_requests = schema.connection_max_requests(),
          .connection_max_age = milliseconds(schema.connection_max_age()),
          .connection_max_idle = milliseconds(schema.connection_max_idle()),
          .max_response_size = schema.max_response_size()};
}

ClientTls BuildClientTls(const v1::ClientTls& schema) {
  return {.ca_file = schema.ca_file(),
          .certificate_file = schema.certificate_file(),
          .private_key_file = schema.private_key_file()};
}

TokendUpstream BuildTokend(const v1::TokendUpstream& schema) {
  return {.address = *ParseAddress(schema.address()),
          .tls = BuildClientTls(schema.tls()),
          .plaintext = !schema.has_tls(),
          .server_name = schema.server_name(),
          .token_file = schema.token_file(),
          .timeout = milliseconds(schema.timeout()),
          .max_in_flight = schema.max_in_flight()};
}

Upstream BuildUpstream(const v1::Upstream& schema) {
  switch (schema.kind_case()) {
    case v1::Upstream::kApplivery:
      return BuildApplivery(schema.applivery());
    case v1::Upstream::kTokend:
      return BuildTokend(schema.tokend());
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

// Those that the upstream lists; for a relay, those that grants name, each once.
std::vector<Organization> BuildOrganizations(const v1::Config& schema) {
  std::vector<Organization> organizations;
  for (const v1::Organization& organization : OrganizationsOf(schema.upstream())) {
    organizations.push_back(BuildOrganization(organization));
  }
  if (!schema.upstream().has_tokend()) return organizations;
  std::set<std::string> names;
  for (const v1::Grant& grant : schema.policy().grants()) {
    for (const std::string& name : grant.organizations()) {
      if (names.insert(name).second) organizations.push_back({.name = name});
    }
  }
  return organizations;
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

std::optional<ClientTls> BuildRedisTls(const v1::RedisState& schema) {
  if (!schema.has_tls()) return std::nullopt;
  return BuildClientTls(schema.tls());
}

RedisState BuildRedisState(const v1::RedisState& schema) {
  return {.address = *ParseAddress(schema.address()),
          .username = schema.username(),
          .password_file = schema.password_file(),
          .tls = BuildRedisTls(schema),
          .encryption_key_file = schema.encryption_key_file(),
          .on_failure = schema.on_failure() == v1::RedisState::ON_FAILURE_LOCAL ? OnRedisFailure::kLocal
                                                                                : OnRedisFailure::kDeny};
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

LogLevel BuildLevel(v1::Log::Level level) {
  switch (level) {
    case v1::Log::LEVEL_TRACE:
      return LogLevel::kTrace;
    case v1::Log::LEVEL_DEBUG:
      return LogLevel::kDebug;
    case v1::Log::LEVEL_WARNING:
      return LogLevel::kWarning;
    case v1::Log::LEVEL_ERROR:
      return LogLevel::kError;
    default:
      return LogLevel::kInfo;
  }
}

}  // namespace

Config Build(const v1::Config& schema) {
  Config config;
  for (const v1::Listener& listener : schema.listeners()) {
    config.listeners.push_back(BuildListener(listener));
    if (!listener.authentication().has_jwt()) continue;
    std::get<JwtAuthentication>(config.listeners.back().authentication).only_trust_domain =
        NeedsTrustDomain(listener.authentication().jwt(), schema);
  }
  config.upstream = BuildUpstream(schema.upstream());
  config.organizations = BuildOrganizations(schema);
  config.grants.reserve(static_cast<std::size_t>(schema.policy().grants_size()));
  for (const v1::Grant& grant : schema.policy().grants()) config.grants.push_back(BuildGrant(grant));
  config.requests = {.remember = milliseconds(schema.requests().remember()),
                     .max_entries = schema.requests().max_entries()};
  config.state = BuildState(schema.state());
  config.audit = BuildAudit(schema.audit());
  config.server = {.max_in_flight = schema.server().max_in_flight(),
                   .drain_delay = milliseconds(schema.server().drain_delay()),
                   .drain = milliseconds(schema.server().drain())};
  if (schema.has_admin()) config.admin = std::get<TcpAddress>(*ParseAddress(schema.admin().address()));
  config.log = {
      .level = BuildLevel(schema.log().level()),
      .format = schema.log().format() == v1::Log::FORMAT_TEXT ? LogFormat::kText : LogFormat::kJson};
  return config;
}

bool NamesOneCaller(const std::vector<Grant>& grants) {
  const std::string* first = nullptr;
  for (const Grant& grant : grants) {
    for (const std::string& caller : grant.callers) {
      if (first == nullptr) first = &caller;
      if (Contains(caller, '*') || caller != *first) return false;
    }
  }
  return first != nullptr;
}

}  // namespace tokend::config
