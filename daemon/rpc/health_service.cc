#include "daemon/rpc/health_service.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "daemon/base/form.h"
#include "daemon/rpc/message_prefix.h"
#include "grpc/health/v1/health.pb.h"

namespace tokend::rpc {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr std::string_view kServices[] = {"", "tokend.v1.TokenService"};

WipedBytes Message(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return EncodeMessage(response);
}

HealthCheckResponse::ServingStatus StatusOf(Serving serving) {
  return serving == Serving::kYes ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

}  // namespace

class HealthService::Call : public CallHandler {
 public:
  Call(HealthService& health, ServerCall& server_call) : health_(health), server_call_(server_call) {}
  ~Call() override { StopWatching(); }

  void OnMessage(std::string message) final {
    HealthCheckRequest request;
    if (!request.ParseFromString(message)) {
      return server_call_.Finish(
          ToStatus(UnreadableMessage("grpc.health.v1.HealthCheckRequest"), MakeUuid()));
    }
    Answer(std::ranges::find(kServices, request.service()) != std::end(kServices));
  }
  void OnCancelled(Code /*why*/) final { StopWatching(); }
  CallStatus OnStop() final {
    StopWatching();
    return ToStatus({Reason::kShuttingDown}, MakeUuid());
  }

  void SendStatus() { server_call_.Send(Message(StatusOf(health_.serving_))); }

 protected:
  virtual void Answer(bool is_known_service) = 0;
  void StopWatching() { health_.watches_.erase(this); }

  HealthService& health_;
  ServerCall& server_call_;
};

class HealthService::CheckCall final : public Call {
 public:
  using Call::Call;

 private:
  void Answer(bool is_known_service) override {
    if (!is_known_service) return server_call_.Finish({Code::kNotFound, "no such service"});
    SendStatus();
    server_call_.Finish({});
  }
};

class HealthService::WatchCall final : public Call {
 public:
  using Call::Call;

 private:
  void Answer(bool is_known_service) override {
    if (!is_known_service) return server_call_.Send(Message(HealthCheckResponse::SERVICE_UNKNOWN));
    health_.watches_.insert(this);
    SendStatus();
  }
};

void HealthService::Add(Routes& routes) {
  routes.Add<kHealthCheck, CheckCall>(*this);
  routes.Add<kHealthWatch, WatchCall>(*this);
}

void HealthService::SetServing(Serving serving) {
  if (std::exchange(serving_, serving) == serving) return;
  for (Call* const watch : watches_) watch->SendStatus();
}

}  // namespace tokend::rpc
