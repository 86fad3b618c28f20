#include "daemon/config/config.h"

#include "daemon/base/overload.h"

namespace tokend::config {

const JwksUrl* JwksUrlOf(const ListenerAuthentication& authentication) {
  return std::visit(Overload{[](const NoAuthentication&) -> const JwksUrl* { return nullptr; },
                             [](const UnixAuthentication&) -> const JwksUrl* { return nullptr; },
                             [](const MtlsAuthentication&) -> const JwksUrl* { return nullptr; },
                             [](const JwtAuthentication& jwt) { return std::get_if<JwksUrl>(&jwt.jwks); }},
                    authentication);
}

}  // namespace tokend::config
