#include "daemon/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <cstdint>
#include <mutex>
#include <string_view>

#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

std::mutex mutex;
telemetry::Metrics* counting = nullptr;

void CountFailedHandshake() {
  const std::lock_guard lock(mutex);
  if (counting != nullptr) counting->TlsHandshakeFailed();
}

// Where something comes from is enough to look it up.
void Take(gpr_log_func_args* said) {
  std::string_view file(said->file);
  file.remove_prefix(file.rfind('/') + 1);
  const std::string_view message(said->message);
  if (said->severity == GPR_LOG_SEVERITY_ERROR) {
    // Of either side of a handshake, and not of those that end by time-out or by leaving.
    if (file == "ssl_transport_security.cc" && message.starts_with("Handshake failed")) return;
    telemetry::Log(config::LogLevel::kWarning, "grpc", {{"file", file}, {"line", std::int64_t{said->line}}});
  } else if (file == "chttp2_server.cc" && message.starts_with("Handshaking failed")) {
    CountFailedHandshake();
  }
}

}  // namespace

GrpcLog::GrpcLog(telemetry::Metrics& metrics) : metrics_(metrics) {
  {
    const std::lock_guard lock(mutex);
    counting = &metrics_;
  }
  // The one word of gRPC's that says of every failed handshake of a server that it failed is one for
  // debugging. There are a few of these a start and a connection, none a call.
  gpr_set_log_function(&Take);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_DEBUG);
}

GrpcLog::~GrpcLog() {
  const std::lock_guard lock(mutex);
  if (counting == &metrics_) counting = nullptr;
}

}  // namespace tokend::rpc
