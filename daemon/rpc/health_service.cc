#include "daemon/rpc/health_service.h"

#include <string>
#include <utility>

#include "daemon/base/form.h"
#include "daemon/rpc/encode_message.h"
#include "grpc/health/v1/health.pb.h"

namespace tokend::rpc {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr std::string_view kServices[] = {"", "tokend.v1.TokenService"};

bool IsKnown(std::string_view service) {
  for (const std::string_view known : kServices) {
    if (known == service) return true;
  }
  return false;
}

WipedBytes Message(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return EncodeMessage(response);
}

HealthCheckResponse::ServingStatus StatusOf(Serving serving) {
  return serving == Serving::kYes ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

CallStatus Unreadable() {
  return ToStatus(UnreadableMessage("grpc.health.v1.HealthCheckRequest"), MakeUuid());
}

CallStatus Stopping() { return ToStatus({Reason::kShuttingDown}, MakeUuid()); }

}  // namespace

class HealthService::CheckCall final : public CallHandler {
 public:
  CheckCall(const HealthService& health, ServerCall& server_call)
      : health_(health), server_call_(server_call) {}

  void OnMessage(std::string message) override {
    HealthCheckRequest request;
    if (!request.ParseFromString(message)) return server_call_.Finish(Unreadable());
    if (!IsKnown(request.service())) return server_call_.Finish({Code::kNotFound, "no such service"});
    server_call_.Send(Message(StatusOf(health_.serving_)));
    server_call_.Finish({});
  }
  void OnCancelled(Code /*why*/) override {}
  CallStatus OnStop() override { return Stopping(); }

 private:
  const HealthService& health_;
  ServerCall& server_call_;
};

class HealthService::WatchCall final : public CallHandler {
 public:
  WatchCall(HealthService& health, ServerCall& server_call) : health_(health), server_call_(server_call) {}
  ~WatchCall() override { StopWatching(); }

  void OnMessage(std::string message) override {
    HealthCheckRequest request;
    if (!request.ParseFromString(message)) return server_call_.Finish(Unreadable());
    if (!IsKnown(request.service())) return server_call_.Send(Message(HealthCheckResponse::SERVICE_UNKNOWN));
    health_.watches_.insert(this);
    SendStatus(health_.serving_);
  }
  void OnCancelled(Code /*why*/) override { StopWatching(); }
  CallStatus OnStop() override {
    StopWatching();
    return Stopping();
  }

  void SendStatus(Serving serving) { server_call_.Send(Message(StatusOf(serving))); }

 private:
  void StopWatching() { health_.watches_.erase(this); }

  HealthService& health_;
  ServerCall& server_call_;
};

void HealthService::Add(Routes& routes) {
  routes.Add(kHealthCheck, MakerOf<CheckCall>(*this));
  routes.Add(kHealthWatch, MakerOf<WatchCall>(*this));
}

void HealthService::SetServing(Serving serving) {
  if (std::exchange(serving_, serving) == serving) return;
  for (WatchCall* const watch : watches_) watch->SendStatus(serving);
}

}  // namespace tokend::rpc
