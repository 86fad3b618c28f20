#include "tests/fakes/requests.h"

#include <optional>
#include <utility>

#include "daemon/identity/authenticator.h"
#include "daemon/rpc/request_parser.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::fakes {
namespace {

class FixedAuthenticator final : public identity::Authenticator {
 public:
  FixedAuthenticator(std::string name, std::string listener)
      : name_(std::move(name)), listener_(std::move(listener)) {}

  void Authenticate(identity::Evidence evidence, Done done) const override {
    done(MakeCaller(name_, Authentication::kNone, listener_, std::move(evidence.peer)));
  }

 private:
  const std::string name_;
  const std::string listener_;
};

}  // namespace

Caller CallerNamed(const std::string& name, const std::string& listener) {
  identity::Evidence evidence;
  evidence.peer = "unix:uid=1000";
  std::optional<Caller> caller;
  FixedAuthenticator(name, listener).Authenticate(std::move(evidence), [&caller](Result<Caller> answer) {
    caller = *std::move(answer);
  });
  return *std::move(caller);
}

TokenRequest RequestFor(const Request& request, const std::string& default_organization) {
  v1::CreateTokenRequest message;
  message.set_organization(request.organization);
  message.set_application(request.application);
  message.set_description(request.description);
  for (const std::string& scope : request.scopes) message.add_scopes(scope);
  message.set_request_id(request.request_id);
  message.set_validate_only(request.validate_only);
  return std::get<TokenRequest>(rpc::RequestParser::Parse(
      message, rpc::RequestParser::IdOf(message), default_organization,
      {.trace = request.trace, .traceparent = request.traceparent, .relayed = request.relayed}));
}

}  // namespace tokend::fakes
