#include "daemon/identity/make_authenticator.h"

#include <string>
#include <utility>
#include <variant>

#include "daemon/identity/mtls_authenticator.h"
#include "daemon/identity/none_authenticator.h"
#include "daemon/identity/unix_authenticator.h"

namespace tokend::identity {
namespace {

using Shared = std::shared_ptr<const Authenticator>;

template <class Kind, class Configuration>
Result<Shared> Make(const std::string& listener, const Configuration& configuration, Shared previous) {
  const auto* same_kind = dynamic_cast<const Kind*>(previous.get());
  if (same_kind != nullptr && same_kind->Does(listener, configuration)) return previous;
  return std::make_shared<Kind>(listener, configuration);
}

}  // namespace

Result<Shared> MakeAuthenticator(const config::Listener& listener, Shared previous) {
  const config::ListenerAuthentication& authentication = listener.authentication;
  if (const auto* none = std::get_if<config::NoAuthentication>(&authentication)) {
    return Make<NoneAuthenticator>(listener.name, *none, std::move(previous));
  }
  if (const auto* by_uid = std::get_if<config::UnixAuthentication>(&authentication)) {
    return Make<UnixAuthenticator>(listener.name, *by_uid, std::move(previous));
  }
  if (const auto* mtls = std::get_if<config::MtlsAuthentication>(&authentication)) {
    return Make<MtlsAuthenticator>(listener.name, *mtls, std::move(previous));
  }
  return absl::UnimplementedError("jwt is not supported");
}

}  // namespace tokend::identity
