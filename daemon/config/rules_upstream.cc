#include "daemon/config/address.h"
#include "daemon/config/base_url.h"
#include "daemon/config/rules.h"

namespace tokend::config {

void ApplyUpstreamRules(v1::Config& schema, Report& report) {
  if (!schema.upstream().has_applivery()) return;
  v1::Applivery& applivery = *schema.mutable_upstream()->mutable_applivery();
  if (!applivery.has_base_url()) return;
  const BaseUrl url = *ParseBaseUrl(applivery.base_url());
  applivery.set_base_url(url.text);
  if (url.https) return;
  const std::string path = "upstream.applivery.base_url";
  if (applivery.has_allow_http() && !applivery.allow_http()) {
    report.Error(path, "must begin with https:// (http:// needs allow_http: true)");
  } else if (!IsLoopback(url.host)) {
    report.Warning(path, "API keys and tokens cross the network unprotected");
  }
}

}  // namespace tokend::config
