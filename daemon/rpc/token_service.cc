#include "daemon/rpc/token_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/form.h"
#include "daemon/base/secret.h"
#include "daemon/rpc/methods.h"
#include "daemon/rpc/request_parser.h"
#include "daemon/rpc/status.h"
#include "daemon/telemetry/log.h"
#include "tokend/v1/token_service.grpc.pb.h"

namespace tokend::rpc {
namespace {

using Bytes = std::vector<char, WipingAllocator<char>>;

// Serialized, in memory that is wiped once gRPC has no more use for it.
grpc::ByteBuffer Serialize(const v1::CreateTokenResponse& message) {
  auto* bytes = new Bytes(message.ByteSizeLong());
  message.SerializeToArray(bytes->data(), static_cast<int>(bytes->size()));
  grpc::Slice slice(
      bytes->data(), bytes->size(), [](void* owned) { delete static_cast<Bytes*>(owned); }, bytes);
  return grpc::ByteBuffer(&slice, 1);
}

void Describe(const Token& from, v1::Token& to) {
  to.set_organization(from.organization);
  to.set_application(from.application);
  to.set_description(from.description);
  for (const std::string& scope : from.scopes) to.add_scopes(scope);
}

grpc::ByteBuffer Release(const issue::Released& released, const std::string& request_id) {
  const IssuedReceipt& durable = released.receipt;
  v1::CreateTokenResponse response;
  response.set_request_id(request_id);
  response.set_replayed(released.kind == issue::Released::Kind::kReplayed);
  response.set_audit_sequence(durable.sequence());
  v1::Token& token = *response.mutable_token();
  Describe(*released.token, token);
  token.set_id(released.token->id);
  std::string& bearer = *token.mutable_bearer();
  bearer.assign(released.token->bearer.Expose());  // set_bearer leaves another copy behind
  grpc::ByteBuffer bytes = Serialize(response);
  OPENSSL_cleanse(bearer.data(), bearer.size());
  return bytes;
}

grpc::ByteBuffer Validate(const issue::Validated& validated, const std::string& request_id) {
  v1::CreateTokenResponse response;
  response.set_request_id(request_id);
  response.set_audit_sequence(validated.audit_sequence);
  Describe(*validated.token, *response.mutable_token());
  return Serialize(response);
}

// What the log says of a call, beside its status.
struct CallRecord {
  const char* method;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  std::string request_id = {};
  std::string caller = {};  // empty: unknown
};

void LogCall(const CallRecord& call, const Door& door, const grpc::Status& status, const Failure* failure) {
  const std::chrono::duration<double, std::milli> duration = std::chrono::steady_clock::now() - call.start;
  telemetry::Log(config::LogLevel::kInfo, "call",
                 {{"method", call.method},
                  {"request_id", call.request_id},
                  {"caller", call.caller},
                  {"listener", door.listener()},
                  {"code", CodeName(status)},
                  {"reason", failure != nullptr ? Name(failure->reason) : ""},
                  {"detail", failure != nullptr ? std::string_view(failure->detail) : ""},
                  {"duration_ms", duration.count()}});
}

// What outlives the handler of a call: which of those that may end it does, its reply, on any thread, or its
// cancellation; and its place, until the reply has come, for what runs after a cancellation is still in
// flight.
class Ending {
 public:
  // True once. Who gets it finishes the call, which lives until then and no longer.
  bool Claim() { return !claimed_.exchange(true); }

  // While its caller is being told, a call cannot be cancelled: whether it was meanwhile is asked afterwards.
  enum class Stage { kAdmitting, kAdmitted, kCancelled };
  // Whether the stage was kAdmitting, and is this one now.
  bool Leave(Stage next) {
    Stage admitting = Stage::kAdmitting;
    return stage_.compare_exchange_strong(admitting, next);
  }

  std::optional<CallGate::Pass> pass;
  std::shared_ptr<issue::Call> call;  // not to be looked at by others before kAdmitted

 private:
  std::atomic<bool> claimed_{false};
  std::atomic<Stage> stage_{Stage::kAdmitting};
};

// Calls the request off. Whether the call, which then still lives, is for its caller to end.
bool Abandon(Ending& ending) {
  if (const auto call = std::exchange(ending.call, nullptr)) call->Cancel();
  return ending.Claim();
}

// On the clock for intervals. A call without a deadline has one in the far future.
std::chrono::steady_clock::time_point DeadlineOf(const grpc::CallbackServerContext& context) {
  constexpr std::chrono::hours kFar{24};
  const auto left = context.deadline() - std::chrono::system_clock::now();
  return std::chrono::steady_clock::now() + std::min<std::chrono::nanoseconds>(left, kFar);
}

// One call, from the door to its end. Owns itself until OnDone.
class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  void OnCancel() override {
    if (!ending_->Leave(Ending::Stage::kCancelled) && Abandon(*ending_)) EndAbandoned();
  }

  void OnDone() override { delete this; }

 protected:
  UnaryCall(const char* method, const Backend& backend, const Door& door,
            grpc::CallbackServerContext& context)
      : backend_(backend), context_(context), record_{method}, door_(door) {}

  // Goes on in Serve, where the caller is let in.
  void Admit(std::string_view method) {
    door_.Admit(method, context_, record_.request_id,
                [this, ending = ending_](std::variant<Admission, Failure> admitted) {
                  OnAdmitted(std::move(admitted));
                  // From here on this may be gone, unless nobody else has ended it.
                  if (!ending->Leave(Ending::Stage::kAdmitted) && Abandon(*ending)) EndAbandoned();
                });
  }

  // Sees to it that the call is ended, by whoever claims its ending; `ending->call` is who is told that it is
  // cancelled.
  virtual void Serve(Caller caller, std::shared_ptr<Ending> ending) = 0;

  // Records a refusal of a caller that was let in.
  void Refuse(const Caller& caller, const Failure& failure) {
    door_.Refuse(caller, record_.request_id, failure);
    if (ending_->Claim()) Fail(failure);
  }

  // By whoever has claimed the ending. This may be gone once they return.
  void Succeed() { End(grpc::Status::OK, nullptr); }
  void Fail(const Failure& failure) {
    AddTrailers(failure, context_);
    End(ToStatus(failure, record_.request_id), &failure);
  }
  void EndAbandoned() { End(AbandonedStatus(context_), nullptr); }

  const Backend& backend_;
  grpc::CallbackServerContext& context_;
  CallRecord record_;

 private:
  void OnAdmitted(std::variant<Admission, Failure> admitted) {
    if (const Failure* failure = std::get_if<Failure>(&admitted)) {
      if (ending_->Claim()) Fail(*failure);
      return;
    }
    auto& [pass, caller] = std::get<Admission>(admitted);
    ending_->pass.emplace(std::move(pass));
    record_.caller = caller.name();
    Serve(std::move(caller), ending_);
  }

  void End(const grpc::Status& status, const Failure* failure) {
    LogCall(record_, door_, status, failure);
    Finish(status);
  }

  const Door& door_;
  std::shared_ptr<Ending> ending_ = std::make_shared<Ending>();
};

class CreateTokenCall final : public UnaryCall {
 public:
  CreateTokenCall(const Backend& backend, const Door& door, grpc::CallbackServerContext& context,
                  grpc::ByteBuffer& response)
      : UnaryCall("CreateToken", backend, door, context), response_(response) {}

  void Start(const grpc::ByteBuffer& request) {
    readable_ = Read(request, message_);
    id_ = RequestParser::IdOf(message_);
    record_.request_id = id_.value;
    Admit(kCreateToken);
  }

 private:
  void Serve(Caller caller, std::shared_ptr<Ending> ending) override {
    auto parsed =
        readable_ ? RequestParser::Parse(message_, id_, backend_.current.Get()->policy.default_organization())
                  : RequestParser::Unreadable();
    if (const Failure* failure = std::get_if<Failure>(&parsed)) return Refuse(caller, *failure);
    // The reply may come, and end this, before Create returns.
    ending->call = backend_.issuer.Create(std::move(caller), std::get<TokenRequest>(std::move(parsed)),
                                          DeadlineOf(context_), [this, ending](const issue::Reply& reply) {
                                            if (ending->Claim()) Answer(reply);
                                          });
  }

  static bool Read(const grpc::ByteBuffer& request, v1::CreateTokenRequest& message) {
    grpc::ByteBuffer bytes(request);
    if (grpc::SerializationTraits<v1::CreateTokenRequest>::Deserialize(&bytes, &message).ok()) return true;
    message.Clear();
    return false;
  }

  void Answer(const issue::Reply& reply) {
    if (const auto* failure = std::get_if<Failure>(&reply)) return Fail(*failure);
    if (std::holds_alternative<issue::Abandoned>(reply)) return EndAbandoned();
    response_ = std::holds_alternative<issue::Released>(reply)
                    ? Release(std::get<issue::Released>(reply), record_.request_id)
                    : Validate(std::get<issue::Validated>(reply), record_.request_id);
    Succeed();
  }

  grpc::ByteBuffer& response_;
  v1::CreateTokenRequest message_;
  bool readable_ = false;
  RequestId id_;
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
  for (const auto& [named, limits] : entitlement.grants) {
    v1::Grant& shown = *response.add_grants();
    shown.set_name(named.grant->name);
    for (const std::string& organization : named.organizations) shown.add_organizations(organization);
    for (const std::string& application : named.grant->applications) shown.add_applications(application);
    for (const std::string& scope : named.grant->scopes) shown.add_scopes(scope);
    for (const issue::LimitLevel& limit : limits) Describe(limit, *shown.add_limits());
  }
}

class GetCallerCall final : public UnaryCall {
 public:
  GetCallerCall(const Backend& backend, const Door& door, grpc::CallbackServerContext& context,
                v1::GetCallerResponse& response)
      : UnaryCall("GetCaller", backend, door, context), response_(response) {
    record_.request_id = MakeUuid();
  }

  void Start() { Admit(kGetCaller); }

 private:
  void Serve(Caller caller, std::shared_ptr<Ending> ending) override {
    backend_.issuer.Show(caller,
                         [this, caller, ending](const std::variant<issue::Entitlement, Failure>& shown) {
                           if (!ending->Claim()) return;
                           if (const Failure* failure = std::get_if<Failure>(&shown)) return Fail(*failure);
                           Describe(caller, std::get<issue::Entitlement>(shown), response_);
                           Succeed();
                         });
  }

  v1::GetCallerResponse& response_;
};

// CreateToken is served raw: only so is the memory of a serialized bearer ours to wipe, and a message that is
// none an INVALID_REQUEST.
using ServiceBase = v1::TokenService::WithRawCallbackMethod_CreateToken<
    v1::TokenService::WithCallbackMethod_GetCaller<v1::TokenService::Service>>;

class TokenService final : public ServiceBase {
 public:
  TokenService(const Backend& backend, std::shared_ptr<const Door> door)
      : backend_(backend), door_(std::move(door)) {}

  using ServiceBase::CreateToken;
  using ServiceBase::GetCaller;

  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override {
    auto* call = new CreateTokenCall(backend_, *door_, *context, *response);
    call->Start(*request);
    return call;
  }

  grpc::ServerUnaryReactor* GetCaller(grpc::CallbackServerContext* context,
                                      const v1::GetCallerRequest* /*request*/,
                                      v1::GetCallerResponse* response) override {
    auto* call = new GetCallerCall(backend_, *door_, *context, *response);
    call->Start();
    return call;
  }

 private:
  const Backend& backend_;
  std::shared_ptr<const Door> door_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTokenService(const Backend& backend, std::shared_ptr<const Door> door) {
  return std::make_unique<TokenService>(backend, std::move(door));
}

}  // namespace tokend::rpc
