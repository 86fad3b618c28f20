#include "client/client.h"

#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <functional>
#include <utility>

#include "client/channel.h"
#include "client/retry.h"
#include "client/status.h"
#include "daemon/base/form.h"
#include "daemon/base/methods.h"
#include "tokend/v1/token_service.grpc.pb.h"

namespace tokend::client {
namespace {

constexpr char kRetryPushback[] = "grpc-retry-pushback-ms";

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

Token TakeToken(v1::CreateTokenResponse& response) {
  v1::Token& token = *response.mutable_token();
  Token taken{
      .id = token.id(),
      .organization = token.organization(),
      .application = token.application(),
      .description = token.description(),
      .scopes = {token.scopes().begin(), token.scopes().end()},
      .bearer = Bearer(token.bearer()),
      .request_id = response.request_id(),
      .replayed = response.replayed(),
      .audit_sequence = response.audit_sequence(),
  };
  OPENSSL_cleanse(token.mutable_bearer()->data(), token.bearer().size());
  return taken;
}

Limit ToLimit(const v1::Limit& limit) {
  return {
      .name = limit.name(),
      .tokens = limit.tokens(),
      .window = FromProto(limit.window()),
      .burst = limit.burst(),
      .remaining = limit.remaining(),
      .retry_after = FromProto(limit.retry_after()),
  };
}

CallerInfo ToCallerInfo(const v1::GetCallerResponse& response) {
  CallerInfo info{
      .caller = response.caller(),
      .authentication = response.authentication(),
      .listener = response.listener(),
      .grants = {},
  };
  for (const v1::Grant& grant : response.grants()) {
    Grant& added = info.grants.emplace_back(Grant{
        .name = grant.name(),
        .organizations = {grant.organizations().begin(), grant.organizations().end()},
        .applications = {grant.applications().begin(), grant.applications().end()},
        .scopes = {grant.scopes().begin(), grant.scopes().end()},
        .limits = {},
    });
    for (const v1::Limit& limit : grant.limits()) added.limits.push_back(ToLimit(limit));
  }
  return info;
}

}  // namespace

class Client::Impl {
 public:
  Impl(const Options& options, std::shared_ptr<grpc::Channel> channel, Clock& clock)
      : token_file_(options.token_file),
        timeout_(options.timeout),
        channel_(std::move(channel)),
        stub_(v1::TokenService::NewStub(channel_)),
        clock_(clock) {}

  using Attempt = std::function<grpc::Status(grpc::ClientContext&)>;

  enum class Retries { kNone, kSafe };

  Status Call(const std::string& request_id, Retries retries, const Attempt& attempt) {
    const auto deadline = clock_.Now() + timeout_;
    for (int attempts = 1;; ++attempts) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + (deadline - clock_.Now()));
      if (Status status = Authorize(context); !status.ok()) return status;
      const grpc::Status answer = attempt(context);
      if (answer.ok()) return absl::OkStatus();
      const Failed failed{
          .status = FromGrpc(answer, request_id),
          .has_details = !answer.error_details().empty(),
          .has_retry_pushback = context.GetServerTrailingMetadata().count(kRetryPushback) > 0,
      };
      if (retries == Retries::kNone) return failed.status;
      const auto delay = RetryDelay(failed, attempts);
      if (!delay || clock_.Now() + *delay >= deadline) return failed.status;
      clock_.Sleep(*delay);
    }
  }

  v1::TokenService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

 private:
  Status Authorize(grpc::ClientContext& context) const {
    if (token_file_.empty()) return absl::OkStatus();
    const Result<Secret> token = ReadTokenFile(token_file_);
    if (!token.ok()) return token.status();
    // gRPC refuses to send these credentials in plaintext, unlike metadata.
    context.set_credentials(grpc::AccessTokenCredentials(std::string(token->Expose())));
    return absl::OkStatus();
  }

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
  v1::CreateTokenResponse response;
  Status status = impl_->Call(message.request_id(), Impl::Retries::kSafe, [&](grpc::ClientContext& context) {
    return impl_->stub().CreateToken(&context, message, &response);
  });
  if (!status.ok()) return status;
  Token token = TakeToken(response);
  if (token.bearer.empty() && !request.validate_only) {
    return FromGrpc(grpc::Status(grpc::StatusCode::INTERNAL, "the daemon's answer holds no bearer"),
                    message.request_id());
  }
  return token;
}

Result<CallerInfo> Client::GetCaller() {
  v1::GetCallerResponse response;
  Status status = impl_->Call({}, Impl::Retries::kSafe, [&](grpc::ClientContext& context) {
    return impl_->stub().GetCaller(&context, {}, &response);
  });
  if (!status.ok()) return status;
  return ToCallerInfo(response);
}

Result<Health> Client::CheckHealth() {
  // HealthCheckRequest has the wire format of a StringValue, and HealthCheckResponse that of an Int32Value.
  const google::protobuf::StringValue service;
  google::protobuf::Int32Value serving;
  grpc::TemplatedGenericStub<google::protobuf::StringValue, google::protobuf::Int32Value> health(
      impl_->channel());
  Status status = impl_->Call({}, Impl::Retries::kNone, [&](grpc::ClientContext& context) {
    grpc::CompletionQueue done;
    grpc::Status answer;
    const auto call = health.PrepareUnaryCall(&context, kHealthCheck.path, service, &done);
    call->StartCall();
    call->Finish(&serving, &answer, nullptr);
    void* tag = nullptr;
    bool ok = false;
    done.Next(&tag, &ok);
    return answer;
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
