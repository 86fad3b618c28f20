#include "daemon/rpc/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <set>
#include <string>
#include <utility>

#include "daemon/base/form.h"
#include "daemon/rpc/methods.h"
#include "daemon/rpc/status.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {
namespace {

namespace api = grpc::reflection::v1alpha;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

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
    response.mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    response.mutable_error_response()->set_error_message("no such file or symbol");
    return;
  }
  std::set<const FileDescriptor*> added;
  AddFile(file, added, *response.mutable_file_descriptor_response());
}

void Answer(const api::ServerReflectionRequest& request, api::ServerReflectionResponse& response) {
  response.Clear();
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  switch (request.message_request_case()) {
    case api::ServerReflectionRequest::kFileByFilename:
      return AnswerWithFile(pool.FindFileByName(request.file_by_filename()), response);
    case api::ServerReflectionRequest::kFileContainingSymbol:
      return AnswerWithFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), response);
    case api::ServerReflectionRequest::kListServices: {
      auto& list = *response.mutable_list_services_response();
      list.add_service()->set_name(v1::CreateTokenRequest::descriptor()->file()->service(0)->full_name());
      list.add_service()->set_name(
          api::ServerReflectionRequest::descriptor()->file()->service(0)->full_name());
      return;
    }
    case api::ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      response.mutable_error_response()->set_error_code(grpc::StatusCode::UNIMPLEMENTED);
      response.mutable_error_response()->set_error_message(
          "ask for file_by_filename, file_containing_symbol or list_services");
      return;
  }
}

// Answers one message at a time. Owns itself until OnDone.
class Stream final
    : public grpc::ServerBidiReactor<api::ServerReflectionRequest, api::ServerReflectionResponse> {
 public:
  Stream(const Door& door, const grpc::CallbackServerContext& context) {
    door.Admit(kReflection, context, "", [this](const std::variant<Admission, Failure>& admitted) {
      if (const Failure* failure = std::get_if<Failure>(&admitted)) {
        Finish(ToStatus(*failure, MakeUuid()));
      } else {
        StartRead(&request_);
      }
    });
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    Answer(request_, response_);
    StartWrite(&response_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller is gone"));
    StartRead(&request_);
  }

  void OnDone() override { delete this; }

 private:
  api::ServerReflectionRequest request_;
  api::ServerReflectionResponse response_;
};

class ReflectionService final : public api::ServerReflection::CallbackService {
 public:
  explicit ReflectionService(std::shared_ptr<const Door> door) : door_(std::move(door)) {}

  // A stream's place among the calls in flight is given up at once: a client may keep it open and idle.
  grpc::ServerBidiReactor<api::ServerReflectionRequest, api::ServerReflectionResponse>* ServerReflectionInfo(
      grpc::CallbackServerContext* context) override {
    return new Stream(*door_, *context);
  }

 private:
  std::shared_ptr<const Door> door_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeReflectionService(std::shared_ptr<const Door> door) {
  return std::make_unique<ReflectionService>(std::move(door));
}

}  // namespace tokend::rpc
