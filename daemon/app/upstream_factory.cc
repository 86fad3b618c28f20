#include "daemon/app/upstream_factory.h"

#include <utility>
#include <variant>

#include "daemon/base/overload.h"
#include "daemon/upstream/applivery.h"

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
                                       .ca_files = {{"upstream.tokend.tls.ca_file", tokend.tls.ca_file}}};
               }},
      upstream);
}

std::unique_ptr<upstream::Upstream> MakeUpstream(const config::Upstream& configuration,
                                                 const upstream::KeyRing& keys, loop::CurlLoop& loop,
                                                 upstream::Upstream::OnAnswer on_answer) {
  return std::visit(Overload{[&](const config::Applivery& applivery) -> std::unique_ptr<upstream::Upstream> {
                               return std::make_unique<upstream::AppliveryUpstream>(
                                   applivery, keys, loop,
                                   loop.NewHttpClient(upstream::HttpOptions(applivery)),
                                   std::move(on_answer));
                             },
                             [](const config::TokendUpstream&) -> std::unique_ptr<upstream::Upstream> {
                               return nullptr;  // RelayUpstream takes this place
                             }},
                    configuration);
}

}  // namespace tokend::app
