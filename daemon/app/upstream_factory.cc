#include "daemon/app/upstream_factory.h"

#include <utility>
#include <variant>

#include "daemon/base/overload.h"
#include "daemon/upstream/applivery.h"

namespace tokend::app {

UpstreamTraits TraitsOf(const config::Upstream& upstream) {
  return std::visit(Overload{[](const config::Applivery& applivery) {
                      return UpstreamTraits{.timeout = applivery.timeout,
                                            .max_in_flight = applivery.max_in_flight,
                                            .ca_files = {{"upstream.applivery.ca_file", applivery.ca_file}}};
                    }},
                    upstream);
}

UpstreamHome::UpstreamHome(const config::Upstream& configuration, const upstream::KeyRing& keys,
                           loop::CurlLoop& loop, upstream::Upstream::OnAnswer on_answer) {
  std::visit(Overload{[&](const config::Applivery& applivery) {
               http_ = loop.NewHttpClient(upstream::HttpOptions(applivery));
               upstream_ = std::make_unique<upstream::AppliveryUpstream>(applivery, keys, loop, *http_,
                                                                         std::move(on_answer));
             }},
             configuration);
}

}  // namespace tokend::app
