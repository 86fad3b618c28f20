#include <string>
#include <variant>

#include "daemon/config/address.h"
#include "daemon/config/steps.h"

namespace tokend::config {
namespace {

void CheckClientIdentity(const std::string& tls, Report& report) {
  if (report.Has(tls + ".certificate_file") != report.Has(tls + ".private_key_file")) {
    report.Error(tls, "certificate_file and private_key_file are given together, or neither");
  }
}

constexpr char kNoTlsOnUnixSocket[] = "a unix socket has no TLS: give an address with host and port";

void ApplyAppliveryRules(v1::Applivery& applivery, Report& report) {
  if (!applivery.has_base_url()) return;
  const BaseUrl url = *ParseBaseUrl(applivery.base_url());
  applivery.set_base_url(url.text);
  const std::string path = "upstream.applivery.base_url";
  if (url.text.ends_with("/v1")) {
    report.Warning(path, "ends with /v1, which tokend adds itself: requests go to /v1/v1/organizations/...");
  }
  if (url.https) return;
  if (applivery.has_allow_http() && !applivery.allow_http()) {
    report.Error(path, "must begin with https:// (http:// needs allow_http: true)");
  } else if (!IsLoopback(url.host)) {
    report.Warning(path, "API keys and tokens cross the network unprotected");
  }
}

void ApplyTokendRules(v1::TokendUpstream& tokend, Report& report) {
  const std::string path = "upstream.tokend";
  const std::string tls = path + ".tls";
  const bool has_tls = report.Has(tls);
  CheckClientIdentity(tls, report);
  if (!tokend.has_address()) return;
  const Address address = *ParseAddress(tokend.address());
  if (has_tls && std::holds_alternative<UnixAddress>(address)) {
    return report.Error(tls, kNoTlsOnUnixSocket);
  }
  if (!has_tls && !IsLocal(address)) {
    return report.Error(path + ".address", "needs tls: it is neither a unix socket nor a loopback address");
  }
  if (!has_tls) {
    for (const char* key : {".server_name", ".token_file"}) {
      if (report.Has(path + key)) report.Error(path + key, "is used only with TLS: add tls");
    }
    return;
  }
  if (!tokend.has_server_name()) tokend.set_server_name(std::get<TcpAddress>(address).host);
  if (!IsLocal(address) && !report.Has(tls + ".certificate_file") && !report.Has(path + ".token_file")) {
    report.Warning(path,
                   "has neither a client certificate nor token_file: the central tokend cannot know who this "
                   "relay is");
  }
}

void ApplyUpstreamRules(v1::Config& schema, Report& report) {
  switch (schema.upstream().kind_case()) {
    case v1::Upstream::kApplivery:
      return ApplyAppliveryRules(*schema.mutable_upstream()->mutable_applivery(), report);
    case v1::Upstream::kTokend:
      return ApplyTokendRules(*schema.mutable_upstream()->mutable_tokend(), report);
    case v1::Upstream::KIND_NOT_SET:  // has been reported
      break;
  }
}

void ApplyStateRules(const v1::Config& schema, Report& report) {
  if (!schema.state().has_redis()) return;
  if (schema.upstream().has_tokend()) {
    report.Error("state.redis", "a relay keeps its state in memory: use state.memory");
  }
  const v1::RedisState& redis = schema.state().redis();
  if (redis.has_username() && !report.Has("state.redis.password_file")) {
    report.Error("state.redis.username", "needs password_file");
  }
  const std::string tls = "state.redis.tls";
  const bool has_tls = report.Has(tls);
  CheckClientIdentity(tls, report);
  if (!redis.has_address()) return;
  const Address address = *ParseAddress(redis.address());
  if (has_tls && std::holds_alternative<UnixAddress>(address)) {
    report.Error(tls, kNoTlsOnUnixSocket);
  } else if (!has_tls && !IsLocal(address)) {
    report.Warning("state.redis.address",
                   "the shared state and the password cross the network unprotected: use tls");
  }
}

void ApplyAuditRules(const v1::Config& schema, Report& report) {
  if (!schema.has_audit()) return;
  if (!report.Has("audit.file") && !report.Has("audit.stdout")) {
    report.Error("audit", "needs at least one of file, stdout");
  }
  if (!report.Has("audit.file") && report.Has("audit.stdout") && !schema.state().has_redis()) {
    report.Warning("audit.stdout",
                   "without audit.file a restart forgets all request_ids: callers' request_ids are refused "
                   "for requests.remember after each start");
  }
  if (!report.Has("audit.fingerprint_key_file")) {
    report.Warning("audit",
                   "without fingerprint_key_file the key is made at start and lost at stop: tokens then "
                   "cannot be matched with records of an earlier run");
  }
}

}  // namespace

void ApplyRules(v1::Config& schema, NamedFiles files, Report& report) {
  ApplyListenerRules(schema, files, report);
  ApplyUpstreamRules(schema, report);
  ApplyPolicyRules(schema, report);
  ApplyStateRules(schema, report);
  ApplyAuditRules(schema, report);
}

}  // namespace tokend::config
