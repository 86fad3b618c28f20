#include "daemon/rpc/token_service.h"

#include <openssl/crypto.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "daemon/base/form.h"
#include "daemon/base/secret.h"
#include "daemon/rpc/message_prefix.h"
#include "daemon/rpc/request_parser.h"
#include "daemon/rpc/wire_text.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {
namespace {

void Describe(const Token& from, v1::Token& to) {
  to.set_organization(from.organization);
  to.set_application(from.application);
  to.set_description(from.description);
  for (const std::string& scope : from.scopes) to.add_scopes(scope);
}

WipedBytes Release(const issue::Released& released, const std::string& request_id) {
  const IssuedReceipt& durable = released.receipt;
  v1::CreateTokenResponse response;
  response.set_request_id(request_id);
  response.set_replayed(released.kind == issue::Released::Kind::kReplayed);
  response.set_audit_sequence(durable.sequence());
  v1::Token& token = *response.mutable_token();
  Describe(*released.token, token);
  token.set_id(released.token->id);
  std::string& bearer = *token.mutable_bearer();
  bearer.assign(released.token->bearer.Expose());  // set_bearer would leave another copy in memory
  WipedBytes message = EncodeMessage(response);
  OPENSSL_cleanse(bearer.data(), bearer.size());
  return message;
}

WipedBytes Validate(const issue::Validated& validated, const std::string& request_id) {
  v1::CreateTokenResponse response;
  response.set_request_id(request_id);
  response.set_audit_sequence(validated.audit_sequence);
  Describe(*validated.token, *response.mutable_token());
  return EncodeMessage(response);
}

class CreateTokenCall final : public AuthenticatedCall {
 public:
  CreateTokenCall(const CallServices& services, ServerCall& server_call)
      : AuthenticatedCall(services, server_call, "CreateToken") {}

  void OnMessage(std::string message) override {
    readable_ = message_.ParseFromString(message);
    if (!readable_) message_.Clear();
    id_ = RequestParser::IdOf(message_);
    AuthenticateAndServe(id_.value);
  }

 private:
  void Serve(const Caller& caller) override {
    auto parsed = readable_
                      ? RequestParser::Parse(
                            message_, id_, services().config.Get()->policy.default_organization(), metadata())
                      : RequestParser::Unreadable();
    if (const auto* failure = std::get_if<Failure>(&parsed)) return Refuse(*failure);
    const auto now = std::chrono::steady_clock::now();
    const auto deadline =
        server_call() != nullptr ? server_call()->deadline().value_or(now + kLongestTimeout) : now;
    auto self = std::static_pointer_cast<CreateTokenCall>(shared_from_this());
    // The reply may arrive before Create returns. The request is not kept alive here: it ends, and gives its
    // memory back, on the thread that has allocated most of it.
    call_ = services().issuer.Create(caller, std::get<TokenRequest>(std::move(parsed)), deadline,
                                     [self](issue::Reply reply) {
                                       self->reply_ = std::move(reply);
                                       self->RunOnListener([self] { self->OnReply(); });
                                     });
    if (replied_) call_.reset();
    if (server_call() == nullptr) CancelWork();
  }

  void OnReply() {
    const issue::Reply reply = *std::exchange(reply_, std::nullopt);
    replied_ = true;
    call_.reset();
    if (const auto* released = std::get_if<issue::Released>(&reply)) {
      return Succeed(server_call() != nullptr ? Release(*released, request_id()) : WipedBytes());
    }
    if (const auto* validated = std::get_if<issue::Validated>(&reply)) {
      return Succeed(Validate(*validated, request_id()));
    }
    if (const auto* failure = std::get_if<Failure>(&reply)) return Fail(*failure);
    FinishCancelled();
  }

  void CancelWork() override {
    if (const auto call = std::exchange(call_, std::nullopt).value_or(std::weak_ptr<issue::Call>()).lock()) {
      call->Cancel();
    }
  }

  Failure FailureOnStop() const override { return {call_ ? Reason::kOutcomeUnknown : Reason::kShuttingDown}; }

  v1::CreateTokenRequest message_;
  bool readable_ = false;
  RequestId id_;
  std::optional<issue::Reply> reply_;  // from the loop's thread, until OnReply takes it
  bool replied_ = false;
  std::optional<std::weak_ptr<issue::Call>> call_;  // while the request runs and the client waits
};

void Set(std::chrono::nanoseconds from, google::protobuf::Duration& to) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(from);
  to.set_seconds(seconds.count());
  to.set_nanos(static_cast<std::int32_t>((from - seconds).count()));
}

void Describe(const issue::LimitLevel& from, v1::Limit& to) {
  to.set_name(from.limit->name);
  to.set_tokens(static_cast<std::int64_t>(from.limit->tokens));
  Set(from.limit->per, *to.mutable_window());
  to.set_burst(static_cast<std::int64_t>(from.limit->burst));
  to.set_remaining(from.remaining);
  Set(from.retry_after, *to.mutable_retry_after());
}

void Describe(const Caller& caller, const issue::Entitlement& entitlement, v1::GetCallerResponse& response) {
  response.set_caller(caller.name());
  response.set_authentication(std::string(Name(caller.authentication())));
  response.set_listener(caller.listener());
  response.set_more_grants(entitlement.more_grants);
  for (const auto& [named, limits] : entitlement.grants) {
    v1::Grant& shown = *response.add_grants();
    shown.set_name(named.grant->name);
    for (const std::string& organization : named.organizations) shown.add_organizations(organization);
    for (const std::string& application : named.grant->applications) shown.add_applications(application);
    for (const std::string& scope : named.grant->scopes) shown.add_scopes(scope);
    for (const issue::LimitLevel& limit : limits) Describe(limit, *shown.add_limits());
  }
}

class GetCallerCall final : public AuthenticatedCall {
 public:
  GetCallerCall(const CallServices& services, ServerCall& server_call)
      : AuthenticatedCall(services, server_call, "GetCaller") {}

  // Its request has no fields.
  void OnMessage(std::string /*message*/) override { AuthenticateAndServe(MakeUuid()); }

 private:
  void Serve(const Caller& caller) override {
    auto self = std::static_pointer_cast<GetCallerCall>(shared_from_this());
    services().issuer.Show(caller, [self, caller](std::variant<issue::Entitlement, Failure> shown) {
      self->RunOnListener([self, caller, shown = std::move(shown)] { self->OnShown(caller, shown); });
    });
  }

  void OnShown(const Caller& caller, const std::variant<issue::Entitlement, Failure>& shown) {
    if (const auto* failure = std::get_if<Failure>(&shown)) return Refuse(*failure);
    v1::GetCallerResponse response;
    Describe(caller, std::get<issue::Entitlement>(shown), response);
    Succeed(EncodeMessage(response));
  }
};

}  // namespace

void AddTokenService(const CallServices& services, Routes& routes) {
  routes.Add<kCreateToken, CreateTokenCall>(services);
  routes.Add<kGetCaller, GetCallerCall>(services);
}

}  // namespace tokend::rpc
