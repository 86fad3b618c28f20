#pragma once

#include "daemon/telemetry/metrics.h"

namespace tokend::rpc {

// While it lives, what gRPC says of this process becomes tokend's own: a line without gRPC's words, which can
// quote what a client sent, for each error, but for a failed TLS handshake, which is counted and no more: any
// stranger can make one. One at a time counts, the last made; the metrics must outlive it. Any thread.
class GrpcLog {
 public:
  explicit GrpcLog(telemetry::Metrics& metrics);
  ~GrpcLog();
  GrpcLog(const GrpcLog&) = delete;
  GrpcLog& operator=(const GrpcLog&) = delete;

 private:
  telemetry::Metrics& metrics_;
};

}  // namespace tokend::rpc
