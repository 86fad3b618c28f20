#include "daemon/rpc/credentials.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "daemon/rpc/methods.h"
#include "tests/fakes/test_authority.h"

namespace tokend::rpc {
namespace {

// Answers whatever is called, and counts that.
class AnyService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    ++calls_;
    return new Reactor;
  }

  int calls() const { return calls_; }

 private:
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    Reactor() { StartRead(&bytes_); }
    void OnReadDone(bool) override { StartWriteAndFinish(&bytes_, {}, grpc::Status::OK); }
    void OnDone() override { delete this; }

   private:
    grpc::ByteBuffer bytes_;
  };

  std::atomic<int> calls_ = 0;
};

class UndeclaredMethodTest : public testing::TestWithParam<bool> {
 protected:
  UndeclaredMethodTest() {
    std::shared_ptr<const Current<TlsFiles>> tls;
    auto client = grpc::InsecureChannelCredentials();
    if (GetParam()) {
      const fakes::TestAuthority authority;
      const fakes::Identity identity = authority.Issue("DNS:localhost");
      TlsFiles files;
      files.certificate_chain = identity.certificate;
      files.private_key.Append(identity.private_key);
      tls = std::make_shared<Current<TlsFiles>>(std::make_shared<const TlsFiles>(std::move(files)));
      client = grpc::SslCredentials({authority.certificate(), "", ""});
    }
    credentials_ = MakeCredentials(tls);
    grpc::EnableDefaultHealthCheckService(false);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", credentials_, &port);
    builder.RegisterCallbackGenericService(&service_);
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port), client, arguments);
  }
  ~UndeclaredMethodTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::StatusCode Call(const std::string& method) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    grpc::CompletionQueue queue;
    const grpc::Slice empty;
    auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&empty, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return status.error_code();
  }

  std::shared_ptr<grpc::ServerCredentials> credentials_;
  AnyService service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_P(UndeclaredMethodTest, ReachesNoHandlerThoughThereIsOne) {
  for (const char* method : {"/tokend.v1.TokenService/RevokeToken", "/other.Service/CreateToken",
                             "/tokend.v1.TokenService/createtoken", "/tokend.v1.TokenService/CreateToken/",
                             "//tokend.v1.TokenService/CreateToken", "/", ""}) {
    const grpc::StatusCode code = Call(method);
    EXPECT_EQ(code, grpc::StatusCode::UNIMPLEMENTED) << method;
    EXPECT_EQ(service_.calls(), 0) << method;
  }
}

TEST_P(UndeclaredMethodTest, IsTheOnlyKindThatDoesNot) {
  int calls = 0;
  for (const Method& method : kMethods) {
    EXPECT_EQ(Call("/" + std::string(method.name)), grpc::StatusCode::OK) << method.name;
    EXPECT_EQ(service_.calls(), ++calls) << method.name;
  }
}

INSTANTIATE_TEST_SUITE_P(OverTlsOrNot, UndeclaredMethodTest, testing::Bool(),
                         [](const auto& tls) { return tls.param ? "Tls" : "Plaintext"; });

}  // namespace
}  // namespace tokend::rpc
