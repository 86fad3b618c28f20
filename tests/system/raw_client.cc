#include "tests/system/raw_client.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tokend/v1/token_service.grpc.pb.h"

namespace tokend::system {
namespace {

Answered TakeApart(const grpc::ClientContext& context, const grpc::Status& status,
                   v1::CreateTokenResponse response) {
  Answered answered;
  answered.code = status.error_code();
  answered.message = status.error_message();
  answered.bytes = status.error_message() + status.error_details();
  answered.response = std::move(response);
  for (const auto& [name, value] : context.GetServerTrailingMetadata()) {
    answered.bytes.append(name.data(), name.size()).append(value.data(), value.size());
    if (name == "grpc-retry-pushback-ms") answered.pushback.assign(value.data(), value.size());
  }
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  for (const auto& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    google::rpc::BadRequest bad;
    if (any.UnpackTo(&info)) {
      answered.reason = info.reason();
      answered.domain = info.domain();
      const auto& metadata = info.metadata();
      auto value = [&](const char* name) {
        return metadata.contains(name) ? metadata.at(name) : std::string();
      };
      answered.request_id = value("request_id");
      answered.upstream_code = value("upstream_code");
      answered.audit_sequence = value("audit_sequence");
    } else if (any.UnpackTo(&retry)) {
      answered.retry_after = std::chrono::milliseconds(retry.retry_delay().seconds() * 1000 +
                                                       retry.retry_delay().nanos() / 1'000'000);
    } else if (any.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) answered.fields.push_back(violation.field());
    }
  }
  return answered;
}

}  // namespace

struct RawClient::Impl {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::TokenService::Stub> stub;
};

RawClient::RawClient(const std::string& address, const std::optional<TlsFiles>& tls,
                     const std::string& server_name)
    : impl_(std::make_unique<Impl>()) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (tls) arguments.SetSslTargetNameOverride(server_name);
  const auto credentials = tls ? grpc::SslCredentials({tls->ca_pem, tls->key_pem, tls->certificate_pem})
                               : grpc::InsecureChannelCredentials();
  impl_->channel = grpc::CreateCustomChannel(address, credentials, arguments);
  impl_->stub = v1::TokenService::NewStub(impl_->channel);
}

RawClient::~RawClient() = default;

Answered RawClient::Create(const v1::CreateTokenRequest& request, std::chrono::milliseconds deadline) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + deadline);
  v1::CreateTokenResponse response;
  const grpc::Status status = impl_->stub->CreateToken(&context, request, &response);
  return TakeApart(context, status, std::move(response));
}

Answered RawClient::CreateWith(const std::vector<std::string>& authorization,
                               const v1::CreateTokenRequest& request) const {
  std::vector<std::pair<std::string, std::string>> metadata;
  for (const std::string& value : authorization) metadata.emplace_back("authorization", value);
  return CreateAs(metadata, request);
}

Answered RawClient::CreateAs(const std::vector<std::pair<std::string, std::string>>& metadata,
                             const v1::CreateTokenRequest& request) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  for (const auto& [name, value] : metadata) context.AddMetadata(name, value);
  v1::CreateTokenResponse response;
  const grpc::Status status = impl_->stub->CreateToken(&context, request, &response);
  return TakeApart(context, status, std::move(response));
}

std::vector<Answered> RawClient::CreateMany(
    std::size_t count, std::size_t parallel,
    const std::function<v1::CreateTokenRequest(std::size_t)>& request) const {
  struct Call {
    grpc::ClientContext context;
    v1::CreateTokenRequest request;
    v1::CreateTokenResponse response;
  };
  std::vector<Answered> answered(count);
  std::vector<std::unique_ptr<Call>> calls;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t running = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return running < parallel; });
    ++running;
    lock.unlock();
    Call* call = calls.emplace_back(std::make_unique<Call>()).get();
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    call->request = request(i);
    impl_->stub->async()->CreateToken(
        &call->context, &call->request, &call->response, [&, call, i](const grpc::Status& status) {
          Answered one = TakeApart(call->context, status, std::move(call->response));
          const std::lock_guard done(mutex);
          answered[i] = std::move(one);
          --running;
          changed.notify_all();
        });
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return running == 0; });
  return answered;
}

v1::CreateTokenRequest RequestFor(const std::string& application, const std::string& request_id) {
  v1::CreateTokenRequest request;
  request.set_organization("acme");
  request.set_application(application);
  request.set_request_id(request_id);
  return request;
}

}  // namespace tokend::system
