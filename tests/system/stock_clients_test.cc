// Calls the real daemon with standard tools that have only the .proto files and the documentation.
#include <gmock/gmock.h>

#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using testing::HasSubstr;

const std::string kSource = TOKEND_SOURCE;
const std::map<std::string, std::string> kPath = {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                                  {"HOME", "/nonexistent"}};

class StockClients : public SystemTest {
 protected:
  std::string socket() const { return folder_ / "tokend.sock"; }

  void ExpectMinted(const Ended& ended) {
    ASSERT_EQ(ended.exit, 0) << ended.out << ended.err;
    ASSERT_EQ(applivery_->tokens().size(), 1U);
    EXPECT_THAT(ended.out, HasSubstr(applivery_->tokens()[0].bearer));
  }
};

TEST_F(StockClients, PythonsGrpcGetsAToken) {
  Start();
  const std::string generated = folder_ / "python";
  std::filesystem::create_directory(generated);
  const Ended protoc = RunProgram(
      {"/usr/bin/protoc", "-I", kSource + "/proto", "--python_out=" + generated, "--grpc_out=" + generated,
       "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin", "tokend/v1/token_service.proto",
       "google/rpc/status.proto", "google/rpc/error_details.proto"});
  ASSERT_EQ(protoc.exit, 0) << protoc.err;
  auto environment = kPath;
  environment["PYTHONPATH"] = generated;
  ExpectMinted(RunProgram({"/usr/bin/python3", kSource + "/client/examples/python/mint.py",
                           tokend_->address(), "ios-app", "--bearer"},
                          environment));
}

TEST_F(StockClients, NodesGrpcGetsAToken) {
  Start();
  ExpectMinted(RunProgram(
      {"node", kSource + "/client/examples/node/mint.mjs", "--bearer", tokend_->address(), "ios-app"},
      kPath));
}

TEST_F(StockClients, BufCurlGetsATokenByReflection) {
  Start();
  ExpectMinted(
      RunProgram({kSource + "/tests/system/tools/node_modules/.bin/buf", "curl", "--protocol", "grpc",
                  "--http2-prior-knowledge", "--unix-socket", socket(), "--data",
                  R"({"application": "ios-app"})", "http://localhost/tokend.v1.TokenService/CreateToken"},
                 kPath));
}

TEST_F(StockClients, TokenctlPrintsTheBearerAlone) {
  Start();
  const Ended ended = RunProgram({Program("tokenctl"), "--address", tokend_->address(), "create", "--app",
                                  "ios-app", "--output", "bearer"});
  ExpectMinted(ended);
  EXPECT_EQ(ended.out, applivery_->tokens()[0].bearer + "\n");
  EXPECT_EQ(RunProgram({Program("tokenctl"), "--address", tokend_->address(), "health"}).exit, 0);
  const Ended whoami = RunProgram({Program("tokenctl"), "--address", tokend_->address(), "whoami"});
  EXPECT_EQ(whoami.exit, 0);
  EXPECT_THAT(whoami.out, HasSubstr("everyone"));
  EXPECT_EQ(
      RunProgram({Program("tokenctl"), "--address", tokend_->address(), "create", "--app", "missing"}).exit,
      5);
}

}  // namespace
}  // namespace tokend::system
