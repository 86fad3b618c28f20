#include "daemon/rpc/server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/rpc/acceptor.h"
#include "daemon/rpc/call_gate.h"
#include "daemon/rpc/call_timer.h"
#include "daemon/rpc/connection_limit.h"
#include "daemon/rpc/credentials.h"
#include "daemon/rpc/door.h"
#include "daemon/rpc/grpc_log.h"
#include "daemon/rpc/listening_socket.h"
#include "daemon/rpc/reflection_service.h"
#include "daemon/rpc/token_service.h"
#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

// What one client can make the daemon hold.
constexpr int kMaxReceiveMessageBytes = 64 * 1024;
constexpr int kMaxMetadataBytes = 16 * 1024;
constexpr int kMaxConcurrentStreams = 1024;
constexpr std::size_t kMaxTransportMemoryBytes = std::size_t{128} << 20U;

// Distinct uids on one unix listener at a time: each has a grpc::Server of its own.
constexpr std::size_t kMaxUnixPeers = 32;

// How long a client may take to be one, to be silent, and to leave a ping unanswered.
constexpr int kHandshakeTimeoutMs = 10 * 1000;
constexpr int kMaxConnectionIdleMs = 30 * 60 * 1000;
// What a handshake once proved, by a certificate or a CA that may since be gone, is good for so long; a call
// or a stream that runs then has its grace.
constexpr int kMaxConnectionAgeMs = 60 * 60 * 1000;
constexpr int kMaxConnectionAgeGraceMs = 10 * 60 * 1000;
constexpr int kKeepaliveTimeMs = 60 * 1000;
constexpr int kKeepaliveTimeoutMs = 20 * 1000;
// Clients may ping this often, calls or none.
constexpr int kMinPingIntervalMs = 10 * 1000;

constexpr char kServiceName[] = "tokend.v1.TokenService";

// One grpc::Server and what it runs on; ends in the order that gRPC asks for.
struct Endpoint {
  std::shared_ptr<const Door> door;
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::unique_ptr<grpc::Service> tokens;
  std::unique_ptr<grpc::Service> reflection;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections;
  std::unique_ptr<grpc::Server> server;

  void SetServing(Serving serving) const {
    for (const char* service : {"", kServiceName}) {
      server->GetHealthCheckService()->SetServingStatus(service, serving == Serving::kYes);
    }
  }
};

// One user of a unix listener.
struct UnixPeer {
  Endpoint endpoint;
  ConnectionLimit connections;  // counts alone: the listener has the limit
  std::uint64_t last_connected = 0;
};

void SetLimits(grpc::ServerBuilder& builder, const grpc::ResourceQuota& quota) {
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxReceiveMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxConnectionIdleMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kMaxConnectionAgeMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kMaxConnectionAgeGraceMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs);
}

class GrpcServer final : public Server {
 public:
  GrpcServer(std::size_t max_in_flight, issue::Issuer& issuer, const issue::CurrentConfig& current,
             telemetry::Metrics& metrics)
      : backend_{issuer, current},
        metrics_(metrics),
        grpc_log_(metrics),
        gate_(std::make_shared<CallGate>(max_in_flight, metrics)) {
    quota_.Resize(kMaxTransportMemoryBytes);
  }

  ~GrpcServer() override { Stop(std::chrono::milliseconds(0)); }

  Status Listen(const std::vector<config::Listener>& listeners, const EdgeSettings& settings);

  void Use(const EdgeSettings& settings) override;
  void SetServing(Serving serving) override;
  void Drain() override;
  std::size_t calls_in_flight() const override { return gate_->calls_in_flight(); }
  bool WaitIdle(std::chrono::steady_clock::time_point deadline) override { return gate_->WaitIdle(deadline); }
  void Stop(std::chrono::milliseconds grace) override;
  std::vector<std::string> addresses() const override { return addresses_; }

 private:
  struct Entrance {
    std::string listener;
    bool is_unix;
    std::shared_ptr<CurrentAuthenticator> authenticator;
    std::shared_ptr<Current<TlsFiles>> tls;  // null: none
    ConnectionLimit limit;                   // the acceptor's thread alone
    std::map<uid_t, UnixPeer> by_uid;        // unix alone
    std::optional<Endpoint> endpoint;        // TCP alone
  };

  Status AddEntrance(const config::Listener& listener, const EdgeSettings::Listener& settings,
                     std::size_t max_connections);
  Result<Endpoint> MakeEndpoint(const Entrance& entrance, std::optional<uid_t> unix_uid) const;
  void TakeConnection(Entrance& entrance, int fd);
  const Endpoint* EndpointFor(Entrance& entrance, int fd);
  bool EndIdlePeer(Entrance& entrance);
  std::vector<const Endpoint*> Endpoints() const;

  Backend backend_;
  telemetry::Metrics& metrics_;
  GrpcLog grpc_log_;
  std::shared_ptr<CallGate> gate_;
  grpc::ResourceQuota quota_{"tokend"};
  std::vector<std::string> addresses_;

  // The acceptor's thread alone adds endpoints to `by_uid` and takes them away, under the lock; so it reads
  // them without.
  mutable std::mutex mutex_;
  Serving serving_ = Serving::kNo;
  bool draining_ = false;
  std::vector<Entrance> entrances_;
  std::uint64_t connections_ = 0;  // of users, ever

  std::unique_ptr<Acceptor> acceptor_;
};

Status GrpcServer::Listen(const std::vector<config::Listener>& listeners, const EdgeSettings& settings) {
  std::vector<ListeningSocket> sockets;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    const config::Listener& listener = listeners[i];
    Result<ListeningSocket> socket = ListeningSocket::Open(listener);
    if (!socket.ok()) {
      return {socket.status().code(),
              absl::StrCat("listener ", listener.name, ": ", socket.status().message())};
    }
    addresses_.push_back(socket->address());
    sockets.push_back(*std::move(socket));
    Status added = AddEntrance(listener, settings.listeners[i], MaxConnections(listeners.size()));
    if (!added.ok()) return added;
  }
  acceptor_ = std::make_unique<Acceptor>(
      std::move(sockets), [this](std::size_t listener, int fd) { TakeConnection(entrances_[listener], fd); });
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    telemetry::Log(config::LogLevel::kInfo, "listening",
                   {{"listener", listeners[i].name}, {"address", addresses_[i]}});
  }
  return absl::OkStatus();
}

Status GrpcServer::AddEntrance(const config::Listener& listener, const EdgeSettings::Listener& settings,
                               std::size_t max_connections) {
  Entrance entrance{listener.name,
                    std::holds_alternative<config::UnixAddress>(listener.address),
                    std::make_shared<CurrentAuthenticator>(settings.authenticator),
                    settings.tls ? std::make_shared<Current<TlsFiles>>(settings.tls) : nullptr,
                    ConnectionLimit(max_connections),
                    {},
                    {}};
  if (!entrance.is_unix) {
    Result<Endpoint> endpoint = MakeEndpoint(entrance, std::nullopt);
    if (!endpoint.ok()) return endpoint.status();
    entrance.endpoint = *std::move(endpoint);
    entrance.endpoint->SetServing(serving_);
  }
  entrances_.push_back(std::move(entrance));
  return absl::OkStatus();
}

Result<Endpoint> GrpcServer::MakeEndpoint(const Entrance& entrance, std::optional<uid_t> unix_uid) const {
  Endpoint endpoint;
  endpoint.door =
      std::make_shared<Door>(entrance.listener, entrance.authenticator, unix_uid, gate_, backend_.issuer);
  endpoint.credentials = MakeCredentials(entrance.tls);
  endpoint.tokens = MakeTokenService(backend_, endpoint.door);
  endpoint.reflection = MakeReflectionService(endpoint.door);

  grpc::ServerBuilder builder;
  SetLimits(builder, quota_);
  builder.RegisterService(endpoint.tokens.get());
  builder.RegisterService(endpoint.reflection.get());
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(MakeCallTimers(metrics_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  endpoint.connections = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, endpoint.credentials);
  endpoint.server = builder.BuildAndStart();
  if (!endpoint.server) {
    return absl::InternalError(absl::StrCat("listener ", entrance.listener, ": gRPC cannot start a server"));
  }
  return endpoint;
}

void GrpcServer::TakeConnection(Entrance& entrance, int fd) {
  const Endpoint* endpoint = nullptr;
  if (entrance.limit.Admit(fd)) {
    endpoint = EndpointFor(entrance, fd);
  } else {
    telemetry::Log(config::LogLevel::kWarning, "connection_refused",
                   {{"listener", entrance.listener}, {"detail", "as many connections as may be are open"}});
  }
  if (endpoint == nullptr) {
    close(fd);
    return;
  }
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.fd = fd;
  endpoint->connections->HandleNewConnection(&connection);
}

const Endpoint* GrpcServer::EndpointFor(Entrance& entrance, int fd) {
  if (!entrance.is_unix) return &*entrance.endpoint;
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return nullptr;

  auto known = entrance.by_uid.find(peer.uid);
  if (known == entrance.by_uid.end()) {
    if (entrance.by_uid.size() >= kMaxUnixPeers && !EndIdlePeer(entrance)) {
      telemetry::Log(config::LogLevel::kWarning, "connection_refused",
                     {{"listener", entrance.listener},
                      {"uid", std::int64_t{peer.uid}},
                      {"detail", "as many users as a unix listener can serve are connected"}});
      return nullptr;
    }
    Result<Endpoint> endpoint = MakeEndpoint(entrance, peer.uid);
    if (!endpoint.ok()) return nullptr;
    const std::lock_guard lock(mutex_);
    endpoint->SetServing(serving_);
    known =
        entrance.by_uid.emplace(peer.uid, UnixPeer{*std::move(endpoint), ConnectionLimit(SIZE_MAX)}).first;
  }
  known->second.connections.Admit(fd);
  known->second.last_connected = ++connections_;
  return &known->second.endpoint;
}

// The user that has connected least lately of those that are neither connected nor being told apart gives its
// place up, if there is one. So its server has nothing to wait for when it ends, here between two
// connections.
bool GrpcServer::EndIdlePeer(Entrance& entrance) {
  auto idle = entrance.by_uid.end();
  for (auto peer = entrance.by_uid.begin(); peer != entrance.by_uid.end(); ++peer) {
    if (idle != entrance.by_uid.end() && peer->second.last_connected > idle->second.last_connected) continue;
    if (!peer->second.connections.AnyOpen() && !peer->second.endpoint.door->AnyWaits()) idle = peer;
  }
  if (idle == entrance.by_uid.end()) return false;
  decltype(entrance.by_uid)::node_type ended;
  {
    const std::lock_guard lock(mutex_);
    ended = entrance.by_uid.extract(idle);
  }
  ended.mapped().endpoint.server->Shutdown(std::chrono::system_clock::now());
  return true;
}

std::vector<const Endpoint*> GrpcServer::Endpoints() const {
  std::vector<const Endpoint*> endpoints;
  for (const Entrance& entrance : entrances_) {
    if (entrance.endpoint) endpoints.push_back(&*entrance.endpoint);
    for (const auto& [uid, peer] : entrance.by_uid) endpoints.push_back(&peer.endpoint);
  }
  return endpoints;
}

void GrpcServer::Use(const EdgeSettings& settings) {
  gate_->SetMaxInFlight(settings.max_in_flight);
  for (std::size_t i = 0; i < entrances_.size(); ++i) {
    entrances_[i].authenticator->Set(settings.listeners[i].authenticator);
    if (entrances_[i].tls) entrances_[i].tls->Set(settings.listeners[i].tls);
  }
}

void GrpcServer::SetServing(Serving serving) {
  const std::lock_guard lock(mutex_);
  serving_ = draining_ ? Serving::kNo : serving;
  for (const Endpoint* endpoint : Endpoints()) endpoint->SetServing(serving_);
}

void GrpcServer::Drain() {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
  }
  SetServing(Serving::kNo);
  gate_->Close();
  // gRPC does not close a connection that it is given once its shutdown has begun.
  if (acceptor_) acceptor_->Stop();
}

void GrpcServer::Stop(std::chrono::milliseconds grace) {
  Drain();
  const auto deadline = std::chrono::system_clock::now() + grace;
  for (const Endpoint* endpoint : Endpoints()) endpoint->server->Shutdown(deadline);
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(const config::Config& config, const EdgeSettings& settings,
                                              issue::Issuer& issuer, const issue::CurrentConfig& current,
                                              telemetry::Metrics& metrics) {
  grpc::EnableDefaultHealthCheckService(true);
  auto server = std::make_unique<GrpcServer>(settings.max_in_flight, issuer, current, metrics);
  if (Status status = server->Listen(config.listeners, settings); !status.ok()) return status;
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace tokend::rpc
