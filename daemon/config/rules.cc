#include <string>
#include <variant>

#include "daemon/config/address.h"
#include "daemon/config/steps.h"

namespace tokend::config {
namespace {

void ApplyUpstreamRules(v1::Config& schema, Report& report) {
  if (!schema.upstream().has_applivery()) return;
  v1::Applivery& applivery = *schema.mutable_upstream()->mutable_applivery();
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

void ApplyStateRules(const v1::Config& schema, Report& report) {
  if (!schema.state().has_redis()) return;
  const v1::RedisState& redis = schema.state().redis();
  if (redis.has_username() && !report.Has("state.redis.password_file")) {
    report.Error("state.redis.username", "needs password_file");
  }
  const std::string tls = "state.redis.tls";
  const bool has_tls = report.Has(tls);
  if (report.Has(tls + ".certificate_file") != report.Has(tls + ".private_key_file")) {
    report.Error(tls, "certificate_file and private_key_file are given together, or neither");
  }
  if (!redis.has_address()) return;
  const Address address = *ParseAddress(redis.address());
  if (has_tls && std::holds_alternative<UnixAddress>(address)) {
    report.Error(tls, "a unix socket has no TLS: give an address with host and port");
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
