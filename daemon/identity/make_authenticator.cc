#include "daemon/identity/make_authenticator.h"

#include <string>
#include <utility>
#include <variant>

#include "daemon/base/read_file.h"
#include "daemon/identity/jwt_authenticator.h"
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

Result<KeySource::Keys> ReadKeys(const std::string& file) {
  const Result<Secret> text = ReadBoundedFile(file, kMaxKeySetBytes);
  if (!text.ok()) return text.status();
  Result<KeySource::Keys> keys = KeySet::Parse(text->Expose());
  if (keys.ok()) return keys;
  return absl::FailedPreconditionError(file + ": " + std::string(keys.status().message()));
}

Result<Shared> MakeJwt(const std::string& listener, const config::JwtAuthentication& jwt, Shared previous,
                       FetchObserver observer) {
  const auto* before = dynamic_cast<const JwtAuthenticator*>(previous.get());
  const bool same = before != nullptr && before->Does(listener, jwt);
  std::unique_ptr<KeySource> source;
  if (const auto* file = std::get_if<config::JwksFile>(&jwt.jwks)) {
    Result<KeySource::Keys> keys = ReadKeys(file->path);
    if (!keys.ok()) return keys.status();
    if (same && before->keys()->digest() == (*keys)->digest()) return previous;
    source = std::make_unique<FixedKeySource>(*std::move(keys));
  } else {
    if (same) return previous;
    source = std::make_unique<UrlKeySource>(std::get<config::JwksUrl>(jwt.jwks), KeyFetchTimes{},
                                            std::move(observer));
  }
  return std::make_shared<JwtAuthenticator>(listener, jwt, std::move(source), loop::SystemClock());
}

}  // namespace

Result<Shared> MakeAuthenticator(const config::Listener& listener, Shared previous, FetchObserver observer) {
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
  return MakeJwt(listener.name, std::get<config::JwtAuthentication>(authentication), std::move(previous),
                 std::move(observer));
}

}  // namespace tokend::identity
