#include "daemon/identity/make_authenticator.h"

#include <string>
#include <utility>
#include <variant>

#include "daemon/base/overload.h"
#include "daemon/base/read_file.h"
#include "daemon/identity/jwt_authenticator.h"
#include "daemon/identity/local_authenticators.h"
#include "daemon/identity/mtls_authenticator.h"

namespace tokend::identity {
namespace {

using Shared = std::shared_ptr<const Authenticator>;

template <class Kind, class Configuration>
Result<Shared> Make(const std::string& listener, const Configuration& configuration, Shared previous) {
  const auto* same_kind = dynamic_cast<const Kind*>(previous.get());
  if (same_kind != nullptr && same_kind->Does(listener, configuration)) return previous;
  return std::make_shared<Kind>(listener, configuration);
}

Result<KeySource::Keys> ReadKeys(const std::string& file) {
  const Result<Secret> text = ReadBoundedFile(file, kMaxKeySetBytes);
  if (!text.ok()) return text.status();
  Result<KeySource::Keys> keys = KeySet::Parse(text->Expose());
  if (keys.ok()) return keys;
  return absl::FailedPreconditionError(file + ": " + std::string(keys.status().message()));
}

Result<Shared> MakeJwt(const std::string& listener, const config::JwtAuthentication& jwt, Shared previous,
                       KeyFetching fetching) {
  const auto* before = dynamic_cast<const JwtAuthenticator*>(previous.get());
  const bool same = before != nullptr && before->Does(listener, jwt);
  const auto make = [&](std::unique_ptr<KeySource> keys) -> Result<Shared> {
    return std::make_shared<JwtAuthenticator>(listener, jwt, std::move(keys), loop::SystemClock());
  };
  return std::visit(Overload{[&](const config::JwksFile& file) -> Result<Shared> {
                               Result<KeySource::Keys> keys = ReadKeys(file.path);
                               if (!keys.ok()) return keys.status();
                               if (same && before->keys()->digest() == (*keys)->digest()) return previous;
                               return make(std::make_unique<FixedKeySource>(*std::move(keys)));
                             },
                             [&](const config::JwksUrl& url) -> Result<Shared> {
                               if (same) return previous;
                               if (fetching.loop == nullptr)
                                 return absl::InternalError("nothing here fetches keys");
                               return make(std::make_unique<UrlKeySource>(
                                   url, KeyFetchTimes{}, std::move(fetching.observer), *fetching.loop));
                             }},
                    jwt.jwks);
}

}  // namespace

Result<Shared> MakeAuthenticator(const config::Listener& listener, Shared previous, KeyFetching fetching) {
  return std::visit(Overload{[&](const config::NoAuthentication& none) {
                               return Make<NoneAuthenticator>(listener.name, none, std::move(previous));
                             },
                             [&](const config::UnixAuthentication& by_uid) {
                               return Make<UnixAuthenticator>(listener.name, by_uid, std::move(previous));
                             },
                             [&](const config::MtlsAuthentication& mtls) {
                               return Make<MtlsAuthenticator>(listener.name, mtls, std::move(previous));
                             },
                             [&](const config::JwtAuthentication& jwt) {
                               return MakeJwt(listener.name, jwt, std::move(previous), std::move(fetching));
                             }},
                    listener.authentication);
}

}  // namespace tokend::identity
