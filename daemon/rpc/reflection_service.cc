#include "daemon/rpc/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/form.h"
#include "daemon/rpc/framed.h"
#include "daemon/rpc/methods.h"
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

// A stream of questions, each answered as it comes. Its place among the calls in flight is given back once
// its caller is let in: a client may keep the stream open and idle.
class ReflectionCall final : public CallerCall {
 public:
  ReflectionCall(const CallServices& services, Exchange& exchange) : CallerCall(services, exchange, "") {}

  bool IsReady() const override { return admission_ != Admission::kAsked; }

  void OnMessage(std::string message) override {
    if (admission_ == Admission::kAdmitted) return Reply(message);
    first_ = std::move(message);
    Ask();
  }

  void OnRequestEnd() override {
    if (admission_ == Admission::kAdmitted) return Succeed();
    Ask();
  }

 private:
  void Ask() {
    admission_ = Admission::kAsked;
    Admit(MakeUuid());
  }

  void Serve(const Caller& /*caller*/) override {
    GiveBackPlace();
    admission_ = Admission::kAdmitted;
    if (exchange() == nullptr) return;
    const std::optional<std::string> first = std::exchange(first_, std::nullopt);
    if (!first) return Succeed();
    Reply(*first);
    if (exchange() != nullptr) exchange()->Resume();
  }

  void Reply(const std::string& message) {
    api::ServerReflectionRequest request;
    if (!request.ParseFromString(message)) {
      return Fail(
          {.reason = Reason::kInvalidRequest, .fields = {{"message", "must be a ServerReflectionRequest"}}});
    }
    api::ServerReflectionResponse response;
    Answer(request, response);
    exchange()->Send(Framed(response));
  }

  std::optional<std::string> first_;  // message; nothing: the request ended without one
  enum class Admission { kNone, kAsked, kAdmitted } admission_ = Admission::kNone;
};

}  // namespace

void AddReflectionService(const CallServices& services, Routes& routes) {
  for (const Method* method : {&kReflection, &kReflectionAlpha}) {
    routes.AddForCallers(*method, [&services](Exchange& exchange) {
      return std::make_shared<ReflectionCall>(services, exchange);
    });
  }
}

}  // namespace tokend::rpc
