#include "client/client.h"

#include <absl/strings/str_cat.h>
#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "client/answer.h"
#include "client/channel.h"
#include "client/retry.h"
#include "client/status.h"
#include "daemon/base/form.h"
#include "daemon/base/methods.h"
#include "tokend/v1/token_service.grpc.pb.h"

namespace tokend::client {
namespace {

constexpr char kRetryPushback[] = "grpc-retry-pushback-ms";

// The daemon refuses larger messages, and metadata over 16 KiB. 1 KiB is for the headers besides the token.
constexpr std::size_t kMaxMessageBytes = std::size_t{64} * 1024;
constexpr std::size_t kMaxSentToken = std::size_t{15} * 1024;

// While there is no connection, how often a call looks for the newest reason. gRPC's pauses between two tries
// are shorter.
constexpr std::chrono::milliseconds kBetweenLooks{700};

// Protobuf also sends strings that are not UTF-8, and the daemon could not say which of them is wrong.
Status CheckUtf8(const CreateRequest& request) {
  const auto check = [](const std::string& field, const std::string& value) {
    return Utf16Length(value) ? absl::OkStatus() : InvalidField(field, "must be valid UTF-8");
  };
  Status status = check("application", request.application);
  status.Update(check("organization", request.organization));
  status.Update(check("description", request.description));
  status.Update(check("request_id", request.request_id));
  for (const std::string& scope : request.scopes) status.Update(check("scopes", scope));
  return status;
}

v1::CreateTokenRequest ToProto(const CreateRequest& request) {
  v1::CreateTokenRequest message;
  message.set_application(request.application);
  message.set_organization(request.organization);
  message.set_description(request.description);
  message.mutable_scopes()->Assign(request.scopes.begin(), request.scopes.end());
  message.set_request_id(request.request_id.empty() ? MakeUuid() : request.request_id);
  message.set_validate_only(request.validate_only);
  return message;
}

// The error of a call's last attempt, where gRPC's words or those of the connection do not say what became of
// the request.
Status InOwnWords(const Failed& failed, int attempts) {
  const absl::string_view message = failed.status.message();
  if (!failed.was_sent && attempts == 1) {
    return WithMessage(failed.status, absl::StrCat(message, "; nothing was sent"));
  }
  if (!WasNotProcessed(failed)) return failed.status;
  return WithMessage(failed.status, absl::StrCat("the daemon did not process the request (", message, ")"));
}

// The error of a call: that of its last attempt, where `unanswered` is no earlier attempt that may have
// created a token.
Status Conclude(Status error, Outcome outcome, const Status& unanswered) {
  if (!unanswered.ok()) {
    error = WithMessage(error, absl::StrCat(error.message(), "; an earlier attempt had no answer (",
                                            unanswered.message(), ")"));
    const bool may_pass = absl::IsUnavailable(error) || absl::IsResourceExhausted(error);
    if (outcome == Outcome::kNoToken) outcome = may_pass ? Outcome::kAskAgain : Outcome::kLookForToken;
  }
  SetOutcome(outcome, error);
  return error;
}

}  // namespace

class Client::Impl {
 public:
  Impl(const Options& options, std::shared_ptr<grpc::Channel> channel, Clock& clock)
      : address_(options.address),
        token_file_(options.token_file),
        timeout_(options.timeout),
        channel_(std::move(channel)),
        stub_(v1::TokenService::NewStub(channel_)),
        clock_(clock) {}

  using Attempt = std::function<grpc::Status(grpc::ClientContext&)>;

  // What an attempt without an answer may have left behind.
  enum class Effect { kNone, kToken };

  Status Call(const std::string& request_id, Effect effect, Patience patience, const Attempt& attempt) {
    const Time deadline = clock_.Now() + timeout_;
    Status unanswered;  // of the latest attempt that may have created a token; OK: there is none
    for (int attempts = 1;; ++attempts) {
      Failed failed = Try(request_id, patience, deadline, attempt);
      if (failed.status.ok()) return absl::OkStatus();
      const Outcome outcome = effect == Effect::kToken ? OutcomeOf(failed) : Outcome::kNoToken;
      const auto delay = patience == Patience::kOnce ? std::nullopt : RetryDelay(failed, attempts);
      if (!delay || clock_.Now() + *delay >= deadline) {
        return Conclude(InOwnWords(failed, attempts), outcome, unanswered);
      }
      if (outcome != Outcome::kNoToken) unanswered = failed.status;
      clock_.Sleep(*delay);
    }
  }

  grpc::Status AskForHealth(grpc::ClientContext& context, google::protobuf::Int32Value& serving) {
    // HealthCheckRequest has the wire format of a StringValue, and HealthCheckResponse that of an Int32Value.
    grpc::TemplatedGenericStub<google::protobuf::StringValue, google::protobuf::Int32Value> health(channel_);
    grpc::CompletionQueue done;
    grpc::Status answer;
    const auto call = health.PrepareUnaryCall(&context, kHealthCheck.path, {}, &done);
    call->StartCall();
    call->Finish(&serving, &answer, nullptr);
    void* tag = nullptr;
    bool ok = false;
    done.Next(&tag, &ok);
    return answer;
  }

  v1::TokenService::Stub& stub() { return *stub_; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  // The machine's time of day at `time`, for gRPC.
  std::chrono::system_clock::time_point At(Time time) {
    return std::chrono::system_clock::now() + (time - clock_.Now());
  }

  // An attempt begins only with a connection, so that without one it is certain that nothing was sent.
  Failed Try(const std::string& request_id, Patience patience, Time deadline, const Attempt& attempt) {
    if (Status status = Connect(patience, deadline); !status.ok()) {
      return {.status = FromGrpc({grpc::StatusCode::UNAVAILABLE, std::string(status.message())}, request_id)};
    }
    grpc::ClientContext context;
    context.set_deadline(At(deadline));
    if (Status status = Authorize(context); !status.ok()) return {.status = status};
    const grpc::Status answer = attempt(context);
    return {
        .status = FromGrpc(answer, request_id),
        .was_sent = true,
        .has_details = !answer.error_details().empty(),
        .has_retry_pushback = context.GetServerTrailingMetadata().count(kRetryPushback) > 0,
    };
  }

  // Waits for a connection inside gRPC, which makes one only while a thread waits inside it.
  Status Connect(Patience patience, Time deadline) {
    std::string why;
    for (bool first = true;; first = false) {
      const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
      if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
        why = ConnectionFailure(why);
        // The first look may find the failure of an earlier call.
        if (patience == Patience::kOnce && !first) break;
      }
      const Time now = clock_.Now();
      if (now >= deadline) break;
      channel_->WaitForStateChange(state, At(std::min(deadline, now + kBetweenLooks)));
    }
    return absl::UnavailableError(NoConnection(address_, why));
  }

  // Why gRPC cannot connect, or `known` where it does not say. gRPC says it to calls alone. Asking for the
  // health does no harm if the connection has come about meanwhile.
  std::string ConnectionFailure(const std::string& known) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kBetweenLooks);
    google::protobuf::Int32Value serving;
    const grpc::Status answer = AskForHealth(context, serving);
    return answer.error_code() == grpc::StatusCode::UNAVAILABLE ? answer.error_message() : known;
  }

  Status Authorize(grpc::ClientContext& context) const {
    if (token_file_.empty()) return absl::OkStatus();
    const Result<Secret> token = ReadTokenFile(token_file_);
    if (!token.ok()) return token.status();
    if (token->size() > kMaxSentToken) return InvalidField("token-file", "must hold at most 15 KiB");
    // gRPC refuses to send these credentials in plaintext, unlike metadata.
    context.set_credentials(grpc::AccessTokenCredentials(std::string(token->Expose())));
    return absl::OkStatus();
  }

  const std::string address_;
  const std::string token_file_;
  const std::chrono::milliseconds timeout_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::TokenService::Stub> stub_;
  Clock& clock_;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::Connect(const Options& options) { return Connect(options, SteadyClock()); }

Result<Client> Client::Connect(const Options& options, Clock& clock) {
  if (options.timeout < std::chrono::milliseconds(1) || options.timeout > kMaxTimeout) {
    return absl::InvalidArgumentError("timeout: must be from 1ms to 24h");
  }
  Result<std::shared_ptr<grpc::Channel>> channel = OpenChannel(options);
  if (!channel.ok()) return channel.status();
  if (!options.token_file.empty()) {
    if (const auto token = ReadTokenFile(options.token_file); !token.ok()) return token.status();
  }
  return Client(std::make_unique<Impl>(options, *std::move(channel), clock));
}

Result<Token> Client::CreateToken(const CreateRequest& request) {
  if (Status status = CheckUtf8(request); !status.ok()) return status;
  const v1::CreateTokenRequest message = ToProto(request);
  if (message.ByteSizeLong() > kMaxMessageBytes) return InvalidField("request", "must have at most 64 KiB");
  v1::CreateTokenResponse response;
  const auto effect = request.validate_only ? Impl::Effect::kNone : Impl::Effect::kToken;
  Status status = impl_->Call(
      message.request_id(), effect, Patience::kUntilTimeout,
      [&](grpc::ClientContext& context) { return impl_->stub().CreateToken(&context, message, &response); });
  if (!status.ok()) return status;
  return TakeToken(message, response);
}

Result<CallerInfo> Client::GetCaller() {
  v1::GetCallerResponse response;
  Status status = impl_->Call(
      {}, Impl::Effect::kNone, Patience::kUntilTimeout,
      [&](grpc::ClientContext& context) { return impl_->stub().GetCaller(&context, {}, &response); });
  if (!status.ok()) return status;
  return ToCallerInfo(response);
}

Result<Health> Client::CheckHealth(Patience patience) {
  google::protobuf::Int32Value serving;
  Status status = impl_->Call({}, Impl::Effect::kNone, patience, [&](grpc::ClientContext& context) {
    return impl_->AskForHealth(context, serving);
  });
  if (!status.ok()) return status;
  switch (serving.value()) {
    case static_cast<int>(Health::kServing):
      return Health::kServing;
    case static_cast<int>(Health::kNotServing):
      return Health::kNotServing;
    case static_cast<int>(Health::kServiceUnknown):
      return Health::kServiceUnknown;
    default:
      return Health::kUnknown;
  }
}

}  // namespace tokend::client
