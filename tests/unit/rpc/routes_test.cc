#include "daemon/rpc/routes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "daemon/rpc/health_service.h"
#include "daemon/rpc/reflection_service.h"
#include "daemon/rpc/token_service.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "tests/unit/rpc/server_fixture.h"

namespace tokend::rpc {
namespace {

class RoutesTest : public ServerTest {
 protected:
  RoutesTest() {
    health_.Add(routes_);
    AddTokenService(services_, routes_);
    AddReflectionService(services_, routes_);
  }

  const CallServices services_{"pod", nullptr, nullptr, issuer_, current_};
  HealthService health_;
  Routes routes_;
};

TEST_F(RoutesTest, LeadToEveryMethodOfOurServicesAndAskForACallerButForHealth) {
  for (const auto* file : {v1::CreateTokenRequest::descriptor()->file(),
                           grpc::health::v1::HealthCheckRequest::descriptor()->file(),
                           grpc::reflection::v1::ServerReflectionRequest::descriptor()->file(),
                           grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file()}) {
    const auto* service = file->service(0);
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string path = "/" + service->full_name() + "/" + service->method(i)->name();
      const Routes::Route* route = routes_.Find(path);
      ASSERT_NE(route, nullptr) << path;
      EXPECT_EQ(route->method->access, service->full_name() == "grpc.health.v1.Health"
                                           ? Method::Access::kAnyone
                                           : Method::Access::kCaller)
          << path;
      const Method::Kind kind = service->method(i)->client_streaming()   ? Method::Kind::kBidiStreaming
                                : service->method(i)->server_streaming() ? Method::Kind::kServerStreaming
                                                                         : Method::Kind::kUnary;
      EXPECT_EQ(route->method->kind, kind) << path;
    }
  }
}

TEST_F(RoutesTest, LeadToDeclaredMethodsAlone) {
  for (const Method* method : kMethods) EXPECT_NE(routes_.Find(method->path), nullptr) << method->path;
  for (const char* path :
       {"/tokend.v1.TokenService/RevokeToken", "/other.Service/CreateToken",
        "/tokend.v1.TokenService/createtoken", "/tokend.v1.TokenService/CreateToken/",
        "//tokend.v1.TokenService/CreateToken", "tokend.v1.TokenService/CreateToken", "/", ""}) {
    EXPECT_EQ(routes_.Find(path), nullptr) << path;
  }
}

TEST_F(RoutesTest, OfCallsThatNoRouteLeadsReachNoHandler) {
  Start({UnixListener()});
  fakes::http2::Wire wire(UnixAddress());
  fakes::http2::Http2Client client(wire);
  for (const char* path : {"/tokend.v1.TokenService/RevokeToken", "/other.Service/CreateToken",
                           "/tokend.v1.TokenService/createtoken", "/tokend.v1.TokenService/CreateToken/",
                           "//tokend.v1.TokenService/CreateToken", "/"}) {
    const fakes::http2::Reply reply = client.Call(path, "");
    EXPECT_EQ(reply.code(), 12) << path;
    EXPECT_EQ(reply.headers.count("grpc-status-details-bin"), 0U);
  }
  EXPECT_TRUE(issuer_.refusals().empty());
  EXPECT_EQ(CallsEnded("other", "UNIMPLEMENTED"), 6U);
}

}  // namespace
}  // namespace tokend::rpc
