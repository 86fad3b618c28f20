#pragma once

#include <memory>

#include "daemon/telemetry/metrics.h"

namespace grpc::experimental {
class ServerInterceptorFactoryInterface;
}

namespace tokend::rpc {

// Tells the metrics of every call's end, gRPC's own health service included. The metrics must outlive the
// server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallTimers(
    telemetry::Metrics& metrics);

}  // namespace tokend::rpc
