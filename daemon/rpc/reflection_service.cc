#include "daemon/rpc/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/form.h"
#include "daemon/base/methods.h"
#include "daemon/rpc/message_prefix.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {
namespace {

namespace api = grpc::reflection::v1;  // v1alpha is the same on the wire
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

std::vector<const FileDescriptor*> ServedFiles() {
  return {grpc::health::v1::HealthCheckRequest::descriptor()->file(),
          api::ServerReflectionRequest::descriptor()->file(),
          grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file(),
          v1::CreateTokenRequest::descriptor()->file()};
}

void AddFile(const FileDescriptor* file, std::set<const FileDescriptor*>& added,
             api::FileDescriptorResponse& response) {
  if (!added.insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  response.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i), added, response);
}

void AnswerWithFile(const FileDescriptor* file, api::ServerReflectionResponse& response) {
  if (file == nullptr) {
    response.mutable_error_response()->set_error_code(static_cast<int>(Code::kNotFound));
    response.mutable_error_response()->set_error_message("no such file or symbol");
    return;
  }
  std::set<const FileDescriptor*> added;
  AddFile(file, added, *response.mutable_file_descriptor_response());
}

void Answer(const api::ServerReflectionRequest& request, api::ServerReflectionResponse& response) {
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  switch (request.message_request_case()) {
    case api::ServerReflectionRequest::kFileByFilename:
      return AnswerWithFile(pool.FindFileByName(request.file_by_filename()), response);
    case api::ServerReflectionRequest::kFileContainingSymbol:
      return AnswerWithFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), response);
    case api::ServerReflectionRequest::kListServices:
      for (const FileDescriptor* file : ServedFiles()) {
        response.mutable_list_services_response()->add_service()->set_name(file->service(0)->full_name());
      }
      return;
    default:
      response.mutable_error_response()->set_error_code(static_cast<int>(Code::kUnimplemented));
      response.mutable_error_response()->set_error_message(
          "ask for file_by_filename, file_containing_symbol or list_services");
  }
}

// A stream of requests, each answered when it arrives. The first one, or the end of the stream, starts
// authentication; further requests wait for it. Then the call leaves the in-flight limit, since a client may
// keep the stream open and idle.
class ReflectionCall final : public AuthenticatedCall {
 public:
  ReflectionCall(const CallServices& services, ServerCall& server_call)
      : AuthenticatedCall(services, server_call, "") {}

  bool IsReady() const override { return stage_ != Stage::kAuthenticating; }

  void OnMessage(std::string message) override {
    if (stage_ == Stage::kServing) return Reply(message);
    first_ = std::move(message);
    Authenticate();
  }

  void OnRequestEnd() override {
    if (stage_ == Stage::kServing) return Succeed();
    Authenticate();
  }

 private:
  void Authenticate() {
    stage_ = Stage::kAuthenticating;
    AuthenticateAndServe(MakeUuid());
  }

  void Serve(const Caller& /*caller*/) override {
    ReleasePlace();
    stage_ = Stage::kServing;
    // No limit counts this message from here on, so it must not live as long as the stream.
    const std::optional<std::string> first = std::exchange(first_, std::nullopt);
    if (server_call() == nullptr) return;
    if (!first) return Succeed();
    Reply(*first);
    if (server_call() != nullptr) server_call()->Resume();
  }

  void Reply(const std::string& message) {
    api::ServerReflectionRequest request;
    if (!request.ParseFromString(message)) {
      return Fail(UnreadableMessage("grpc.reflection.v1.ServerReflectionRequest"));
    }
    api::ServerReflectionResponse response;
    Answer(request, response);
    server_call()->Send(EncodeMessage(response));
  }

  std::optional<std::string> first_;  // the first message, until it is answered
  enum class Stage { kNew, kAuthenticating, kServing } stage_ = Stage::kNew;
};

}  // namespace

void AddReflectionService(const CallServices& services, Routes& routes) {
  routes.Add<kReflection, ReflectionCall>(services);
  routes.Add<kReflectionAlpha, ReflectionCall>(services);
}

}  // namespace tokend::rpc
