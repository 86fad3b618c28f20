#include "daemon/rpc/door.h"

#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "daemon/identity/make_authenticator.h"
#include "daemon/rpc/methods.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "tests/unit/rpc/fake_issuer.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {
namespace {

TEST(PeerName, UnescapesWhatTheTransportSays) {
  EXPECT_EQ(PeerName("ipv4:127.0.0.1:4711"), "ipv4:127.0.0.1:4711");
  EXPECT_EQ(PeerName("ipv6:%5B::1%5D:4711"), "ipv6:[::1]:4711");
  EXPECT_EQ(PeerName("ipv6:%5bfe80::1%25eth0%5d:4711"), "ipv6:[fe80::1%eth0]:4711");
  EXPECT_EQ(PeerName("ipv6:[::1]:4711"), "ipv6:[::1]:4711");
  EXPECT_EQ(PeerName("ipv4:1%"), "ipv4:1%");
  EXPECT_EQ(PeerName("ipv4:1%5"), "ipv4:1%5");
  EXPECT_EQ(PeerName("ipv4:1%zz"), "ipv4:1%zz");
}

TEST(PeerName, IsUnknownForWhatIsNoAddress) {
  EXPECT_EQ(PeerName(""), "unknown");
  EXPECT_EQ(PeerName("unix:"), "unknown");
  EXPECT_EQ(PeerName("fd:7"), "unknown");
}

TEST(Methods, DeclareEveryMethodOfOurServices) {
  for (const auto* file : {v1::CreateTokenRequest::descriptor()->file(),
                           grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service(0)->method_count(); ++i) {
      const auto* method = file->service(0)->method(i);
      const std::string name = file->service(0)->full_name() + "/" + method->name();
      const Method* declared = FindMethod(name);
      ASSERT_NE(declared, nullptr) << name;
      EXPECT_EQ(declared->access, Access::kCaller) << name;
      EXPECT_NE(declared->bound, Bound::kConnection) << name;
    }
  }
}

TEST(Methods, OneThatIsNotDeclaredForCallersIsRefusedWhoeverCalls) {
  config::Listener listener;
  listener.name = "pod";
  listener.authentication = config::NoAuthentication{"dev"};
  FakeIssuer issuer;
  telemetry::Metrics metrics;
  const auto door = std::make_shared<Door>(
      "pod", std::make_shared<CurrentAuthenticator>(*identity::MakeAuthenticator(listener, nullptr)), 1000,
      std::make_shared<CallGate>(8, metrics), issuer);
  const grpc::CallbackServerContext context;
  for (const char* method : {"tokend.v1.TokenService/RevokeToken", "", kHealthCheck}) {
    std::optional<Reason> refused;
    door->Admit(method, context, "", [&](const std::variant<Admission, Failure>& admitted) {
      if (const auto* failure = std::get_if<Failure>(&admitted)) refused = failure->reason;
    });
    EXPECT_EQ(refused, Reason::kNotPermitted) << method;
  }
  EXPECT_EQ(issuer.refusals().size(), 3U);
}

}  // namespace
}  // namespace tokend::rpc
