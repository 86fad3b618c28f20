#include "tests/unit/rpc/server_fixture.h"

#include <grpcpp/generic/generic_stub.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "absl/strings/escaping.h"
#include "google/rpc/status.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace tokend::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
namespace reflection = grpc::reflection::v1alpha;

google::rpc::ErrorInfo ErrorInfoIn(const std::string& bytes) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  EXPECT_TRUE(details.ParseFromString(bytes));
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&info)) return info;
  }
  ADD_FAILURE() << "no ErrorInfo";
  return info;
}

}  // namespace

Channel Connect(const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetSslTargetNameOverride("localhost");
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

void SetDeadline(grpc::ClientContext& context, milliseconds timeout) {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

grpc::Status GetCaller(const Channel& channel, v1::GetCallerResponse* response) {
  grpc::ClientContext context;
  SetDeadline(context);
  return v1::TokenService::NewStub(channel)->GetCaller(&context, {}, response);
}

v1::CreateTokenRequest GoodRequest() {
  v1::CreateTokenRequest request;
  request.set_application("ios-app");
  request.set_request_id(kUuid);
  request.set_description("nightly");
  request.add_scopes("sdk");
  return request;
}

Creation::Creation(const Channel& channel, const v1::CreateTokenRequest& request, milliseconds timeout) {
  SetDeadline(context_, timeout);
  thread_ = std::thread([this, channel, request] {
    status_ = v1::TokenService::NewStub(channel)->CreateToken(&context_, request, &response_);
  });
}

std::optional<std::string> Creation::Trailer(const std::string& name) {
  Join();
  const auto& trailers = context_.GetServerTrailingMetadata();
  const auto found = trailers.find(name);
  if (found == trailers.end()) return std::nullopt;
  return std::string(found->second.data(), found->second.size());
}

grpc::Status CallRaw(const Channel& channel, const std::string& method, const std::string& request,
                     std::string* response) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  grpc::CompletionQueue queue;
  const grpc::Slice slice(request);
  auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::Slice single;
  if (response != nullptr && status.ok() && answer.DumpToSingleSlice(&single).ok()) {
    response->assign(reinterpret_cast<const char*>(single.begin()), single.size());
  }
  return status;
}

std::string Health(const Channel& channel, const std::string& service) {
  const std::string request =
      service.empty() ? "" : "\x0a" + std::string(1, static_cast<char>(service.size())) + service;
  std::string response;
  const grpc::Status status = CallRaw(channel, "/grpc.health.v1.Health/Check", request, &response);
  if (!status.ok()) return std::to_string(status.error_code());
  if (response == "\x08\x01") return "SERVING";
  return response == "\x08\x02" ? "NOT_SERVING" : "other";
}

std::pair<grpc::Status, std::vector<std::string>> ListServices(const Channel& channel) {
  grpc::ClientContext context;
  SetDeadline(context);
  auto stream = reflection::ServerReflection::NewStub(channel)->ServerReflectionInfo(&context);
  reflection::ServerReflectionRequest request;
  request.set_list_services("*");
  stream->Write(request);
  stream->WritesDone();
  reflection::ServerReflectionResponse response;
  std::vector<std::string> names;
  while (stream->Read(&response)) {
    for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
  }
  return {stream->Finish(), names};
}

google::rpc::ErrorInfo ErrorInfoOf(const grpc::Status& status) { return ErrorInfoIn(status.error_details()); }

google::rpc::ErrorInfo ErrorInfoOf(const fakes::http2::Reply& reply) {
  const auto details = reply.headers.find("grpc-status-details-bin");
  std::string bytes;
  EXPECT_TRUE(details != reply.headers.end() && absl::Base64Unescape(details->second, &bytes));
  return ErrorInfoIn(bytes);
}

void Eventually(const std::function<bool()>& holds) {
  const auto deadline = steady_clock::now() + kPatience;
  while (!holds() && steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(holds());
}

std::uint16_t PortOf(const std::string& address) {
  return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

int TcpConnectError(std::uint16_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  name.sin_port = htons(port);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int error = connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0 ? 0 : errno;
  close(fd);
  return error;
}

ServerTest::ServerTest()
    : current_(std::make_shared<issue::ConfigSnapshot>(
          issue::ConfigSnapshot{"", {{MobileGrant()}, {{"acme", config::KeyFile{"/key"}}}}})) {
  config_.applivery.organizations.push_back({"acme", config::KeyFile{"/key"}});
}

ServerTest::~ServerTest() { server_.reset(); }

config::Grant ServerTest::MobileGrant() {
  config::Grant grant;
  grant.name = "mobile-ci";
  grant.callers = {"dev"};
  grant.organizations = {"acme"};
  grant.applications = {"ios-app", "android-*"};
  grant.scopes = {"sdk"};
  grant.default_scopes = {"sdk"};
  grant.limits = {{"minute", 10, std::chrono::minutes(1), 5}};
  return grant;
}

config::Listener ServerTest::UnixListener() const {
  config::Listener listener;
  listener.name = "pod";
  listener.address = config::UnixAddress{SocketPath()};
  listener.authentication = config::NoAuthentication{"dev"};
  return listener;
}

config::Listener ServerTest::TcpListener() {
  config::Listener listener;
  listener.name = "local";
  listener.address = config::TcpAddress{"127.0.0.1", 0};
  listener.authentication = config::NoAuthentication{"dev"};
  return listener;
}

config::Listener ServerTest::MtlsListener(const fakes::TestAuthority& authority) const {
  const fakes::Identity identity = authority.Issue("DNS:localhost");
  config::Listener listener = TcpListener();
  listener.name = "cluster";
  listener.authentication = config::MtlsAuthentication{};
  listener.tls = config::ServerTls{WriteFile("tls.crt", identity.certificate),
                                   WriteFile("tls.key", identity.private_key),
                                   WriteFile("ca.crt", authority.certificate())};
  return listener;
}

std::string ServerTest::WriteFile(const std::string& name, const std::string& text) const {
  std::ofstream(folder_ / name) << text;
  return folder_ / name;
}

Channel ServerTest::ConnectTls(const std::string& ca, const fakes::Identity& identity) const {
  return Connect(server_->addresses()[0],
                 grpc::SslCredentials({ca, identity.private_key, identity.certificate}));
}

Result<std::unique_ptr<Server>> ServerTest::StartServer() {
  issuer_.ShowFrom(current_);
  const Result<EdgeSettings> settings = ReadEdgeSettings(config_);
  if (!settings.ok()) return settings.status();
  return Server::Start(config_, *settings, issuer_, current_, metrics_, times_);
}

void ServerTest::Start(std::vector<config::Listener> listeners) {
  config_.listeners = std::move(listeners);
  auto server = StartServer();
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  server_->SetServing(Serving::kYes);
}

std::uint64_t ServerTest::Metric(const std::string& series) const {
  const std::string line = "\n" + series + " ";
  const std::string text = metrics_.Text();
  const std::size_t found = text.find(line);
  return found == std::string::npos ? 0 : std::stoull(text.substr(found + line.size()));
}

std::uint64_t ServerTest::CallsEnded(const std::string& method, const std::string& status) const {
  return Metric("grpc_server_call_duration_seconds_count{grpc_method=\"" + method + "\",grpc_status=\"" +
                status + "\"}");
}

std::uint64_t ServerTest::Closed(const std::string& listener, const std::string& cause) const {
  return Metric("tokend_connections_closed_total{cause=\"" + cause + "\",listener=\"" + listener + "\"}");
}

}  // namespace tokend::rpc
