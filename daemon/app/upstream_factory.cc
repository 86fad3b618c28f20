#include "daemon/app/upstream_factory.h"

#include <utility>
#include <variant>

#include "daemon/base/overload.h"
#include "daemon/upstream/applivery.h"
#include "daemon/upstream/curl_central_calls.h"

namespace tokend::app {

UpstreamTraits TraitsOf(const config::Upstream& upstream) {
  return std::visit(
      Overload{[](const config::Applivery& applivery) {
                 return UpstreamTraits{.timeout = applivery.timeout,
                                       .max_in_flight = applivery.max_in_flight,
                                       .ca_files = {{"upstream.applivery.ca_file", applivery.ca_file}}};
               },
               [](const config::TokendUpstream& tokend) {
                 return UpstreamTraits{.timeout = tokend.timeout,
                                       .max_in_flight = tokend.max_in_flight,
                                       .ca_files = {{"upstream.tokend.tls.ca_file", tokend.tls.ca_file}},
                                       .centre = config::ToString(tokend.address)};
               }},
      upstream);
}

std::unique_ptr<upstream::Upstream> MakeUpstream(const config::Upstream& configuration,
                                                 const upstream::KeyRing& keys,
                                                 upstream::CentralCredentials central, loop::CurlLoop& loop,
                                                 upstream::RelayUpstream::Observer observer) {
  return std::visit(
      Overload{[&](const config::Applivery& applivery) -> std::unique_ptr<upstream::Upstream> {
                 return std::make_unique<upstream::AppliveryUpstream>(
                     applivery, keys, loop, loop.NewHttpClient(upstream::HttpOptions(applivery)),
                     std::move(observer.on_answer));
               },
               [&](const config::TokendUpstream& tokend) -> std::unique_ptr<upstream::Upstream> {
                 return std::make_unique<upstream::RelayUpstream>(
                     loop, std::make_unique<upstream::CurlCentralCalls>(tokend, std::move(central), loop),
                     std::move(observer));
               }},
      configuration);
}

std::unique_ptr<upstream::Availability> MakeAvailability(const config::Upstream& configuration,
                                                         const upstream::KeyRing& keys, loop::EventLoop& loop,
                                                         const upstream::Upstream& upstream,
                                                         upstream::Availability::OnChange on_change) {
  const std::optional<std::string> centre = TraitsOf(configuration).centre;
  if (!centre) return std::make_unique<upstream::Availability>(loop, keys, std::move(on_change));
  upstream::Availability::CentralTokend relayed{*centre,
                                                [&upstream] { return upstream.credentials_generation(); }};
  return std::make_unique<upstream::Availability>(loop, std::move(relayed), std::move(on_change));
}

}  // namespace tokend::app
