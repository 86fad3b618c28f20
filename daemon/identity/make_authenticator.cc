#include "daemon/identity/make_authenticator.h"

#include <string>
#include <variant>

#include "daemon/identity/mtls_authenticator.h"

namespace tokend::identity {
namespace {

// Takes everyone for the caller that the configuration names.
class NoneAuthenticator final : public Authenticator {
 public:
  NoneAuthenticator(std::string caller, std::string listener)
      : caller_(std::move(caller)), listener_(std::move(listener)) {}

  Result<Caller> Authenticate(const Evidence& evidence) const override {
    return MakeCaller(caller_, Authentication::kNone, listener_, evidence.peer);
  }

 private:
  std::string caller_;
  std::string listener_;
};

}  // namespace

std::unique_ptr<const Authenticator> MakeAuthenticator(const config::Listener& listener) {
  if (const auto* none = std::get_if<config::NoAuthentication>(&listener.authentication)) {
    return std::make_unique<NoneAuthenticator>(none->caller, listener.name);
  }
  return std::make_unique<MtlsAuthenticator>(listener.name);
}

}  // namespace tokend::identity
