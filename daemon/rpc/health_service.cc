#include "daemon/rpc/health_service.h"

#include <string>
#include <utility>

#include "daemon/base/form.h"
#include "daemon/rpc/framed.h"
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
  return Framed(response);
}

HealthCheckResponse::ServingStatus StatusOf(Serving serving) {
  return serving == Serving::kYes ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

CallStatus Unreadable() {
  const std::string must = "must be a grpc.health.v1.HealthCheckRequest";
  return ToStatus({.reason = Reason::kInvalidRequest, .fields = {{"message", must}}}, MakeUuid());
}

CallStatus Stopping() { return ToStatus({Reason::kShuttingDown}, MakeUuid()); }

}  // namespace

class HealthService::CheckCall final : public CallHandler {
 public:
  CheckCall(const HealthService& health, Exchange& exchange) : health_(health), exchange_(exchange) {}

  void OnMessage(std::string message) override {
    HealthCheckRequest request;
    if (!request.ParseFromString(message)) return exchange_.Finish(Unreadable());
    if (!IsKnown(request.service())) return exchange_.Finish({Code::kNotFound, "no such service"});
    exchange_.Send(Message(StatusOf(health_.serving_)));
    exchange_.Finish({});
  }
  void OnAbandoned(Code /*why*/) override {}
  CallStatus OnStop() override { return Stopping(); }

 private:
  const HealthService& health_;
  Exchange& exchange_;
};

class HealthService::WatchCall final : public CallHandler {
 public:
  WatchCall(HealthService& health, Exchange& exchange) : health_(health), exchange_(exchange) {}
  ~WatchCall() override { Leave(); }

  void OnMessage(std::string message) override {
    HealthCheckRequest request;
    if (!request.ParseFromString(message)) return exchange_.Finish(Unreadable());
    if (!IsKnown(request.service())) return exchange_.Send(Message(HealthCheckResponse::SERVICE_UNKNOWN));
    health_.watches_.insert(this);
    Tell(health_.serving_);
  }
  void OnAbandoned(Code /*why*/) override { Leave(); }
  CallStatus OnStop() override {
    Leave();
    return Stopping();
  }

  void Tell(Serving serving) { exchange_.Send(Message(StatusOf(serving))); }

 private:
  void Leave() { health_.watches_.erase(this); }

  HealthService& health_;
  Exchange& exchange_;
};

void HealthService::Add(Routes& routes) {
  routes.Add(kHealthCheck,
             [this](Exchange& exchange) { return std::make_shared<CheckCall>(*this, exchange); });
  routes.Add(kHealthWatch,
             [this](Exchange& exchange) { return std::make_shared<WatchCall>(*this, exchange); });
}

void HealthService::SetServing(Serving serving) {
  if (std::exchange(serving_, serving) == serving) return;
  for (WatchCall* const watch : watches_) watch->Tell(serving);
}

}  // namespace tokend::rpc
