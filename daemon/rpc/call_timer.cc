#include "daemon/rpc/call_timer.h"

#include <grpcpp/support/server_interceptor.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <string_view>

#include "daemon/rpc/status.h"

namespace tokend::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

class CallTimer final : public Interceptor {
 public:
  CallTimer(telemetry::Metrics& metrics, std::string_view method) : metrics_(metrics), method_(method) {
    if (!method_.empty() && method_.front() == '/') method_.remove_prefix(1);
  }

  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      metrics_.CallEnded(method_, CodeName(batch->GetSendStatus()),
                         std::chrono::steady_clock::now() - start_);
    }
    batch->Proceed();
  }

 private:
  telemetry::Metrics& metrics_;
  std::string_view method_;  // gRPC's own, which lives as long as the server
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class CallTimers final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallTimers(telemetry::Metrics& metrics) : metrics_(metrics) {}

  Interceptor* CreateServerInterceptor(ServerRpcInfo* call) override {
    return new CallTimer(metrics_, call->method());
  }

 private:
  telemetry::Metrics& metrics_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallTimers(
    telemetry::Metrics& metrics) {
  return std::make_unique<CallTimers>(metrics);
}

}  // namespace tokend::rpc
