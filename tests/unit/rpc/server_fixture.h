#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/rpc/server.h"
#include "google/rpc/error_details.pb.h"
#include "tests/fakes/http2_client.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/test_authority.h"
#include "tests/unit/rpc/fake_issuer.h"
#include "tokend/v1/token_service.grpc.pb.h"

namespace tokend::rpc {

inline constexpr char kService[] = "tokend.v1.TokenService";
inline constexpr char kUuid[] = "0123abcd-4567-89ab-cdef-0123456789ab";
inline constexpr char kSpiffeId[] = "spiffe://prod.example/ns/shop/sa/checkout";

using Channel = std::shared_ptr<grpc::Channel>;

// A channel with a connection of its own, without retries.
Channel Connect(const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials =
                                               grpc::InsecureChannelCredentials());

void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds timeout = kPatience);

grpc::Status GetCaller(const Channel& channel, v1::GetCallerResponse* response);

v1::CreateTokenRequest GoodRequest();

// A CreateToken under way on a thread of its own.
class Creation {
 public:
  explicit Creation(const Channel& channel, const v1::CreateTokenRequest& request = GoodRequest(),
                    std::chrono::milliseconds timeout = kPatience);
  ~Creation() { Join(); }

  void Cancel() { context_.TryCancel(); }

  const grpc::Status& Status() {
    Join();
    return status_;
  }
  const v1::CreateTokenResponse& Response() {
    Join();
    return response_;
  }
  std::optional<std::string> Trailer(const std::string& name);

 private:
  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  grpc::ClientContext context_;
  v1::CreateTokenResponse response_;
  grpc::Status status_;
  std::thread thread_;
};

// Sends these bytes, whatever they are.
grpc::Status CallRaw(const Channel& channel, const std::string& method, const std::string& request,
                     std::string* response = nullptr);

// "SERVING", "NOT_SERVING", or the code of a failure.
std::string Health(const Channel& channel, const std::string& service = kService);

// The services that reflection of this version ("v1", "v1alpha") tells of.
std::pair<grpc::Status, std::vector<std::string>> ListServices(const Channel& channel);

google::rpc::ErrorInfo ErrorInfoOf(const grpc::Status& status);
google::rpc::ErrorInfo ErrorInfoOf(const fakes::http2::Reply& reply);

void Eventually(const std::function<bool()>& holds);

std::uint16_t PortOf(const std::string& address);

// 0, or the errno of connecting to the port on the loopback.
int TcpConnectError(std::uint16_t port);

// A server whose issuer is the test.
class ServerTest : public testing::Test {
 protected:
  ServerTest();
  ~ServerTest() override;

  static config::Grant MobileGrant();
  std::string SocketPath() const { return folder_ / "t.sock"; }
  std::string UnixAddress() const { return "unix://" + SocketPath(); }
  config::Listener UnixListener() const;
  static config::Listener TcpListener();
  config::Listener MtlsListener(const fakes::TestAuthority& authority) const;
  std::string WriteFile(const std::string& name, const std::string& text) const;

  Channel ConnectTls(const std::string& ca, const fakes::Identity& identity) const;
  Channel ConnectUnix() const { return Connect("unix:" + SocketPath()); }

  Result<std::unique_ptr<Server>> StartServer();
  void Start(std::vector<config::Listener> listeners);

  // The value of a metric, with its labels as they are written; 0 while there is none.
  std::uint64_t Metric(const std::string& series) const;
  // How many calls the metrics have seen end so.
  std::uint64_t CallsEnded(const std::string& method, const std::string& status) const;
  // How many connections of a listener were closed for this cause.
  std::uint64_t Closed(const std::string& listener, const std::string& cause) const;

  fakes::TemporaryFolder folder_;
  config::Config config_;
  bounds::Times times_;
  issue::CurrentConfig current_;
  telemetry::Metrics metrics_;
  FakeIssuer issuer_;
  std::unique_ptr<Server> server_;
};

}  // namespace tokend::rpc
