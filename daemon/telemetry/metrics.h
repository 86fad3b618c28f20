#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace prometheus {
class Registry;
}

namespace tokend::telemetry {

// Every metric that the daemon has. No label that a caller controls: what is not a known method, status or
// outcome is counted as "other". Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // grpc_server_call_duration_seconds{grpc_method,grpc_status}, named and bucketed as gRFC A66 has it.
  // `method` is "tokend.v1.TokenService/CreateToken" and so on, `status` the code's name, "OK".
  void CallEnded(std::string_view method, std::string_view status, std::chrono::nanoseconds duration);

  // tokend_calls_in_flight.
  void SetCallsInFlight(std::size_t calls);

  // tokend_tokens_total{outcome}: "issued", "replayed", "refused", "withheld" or "unknown".
  void TokenEnded(std::string_view outcome);

  // tokend_upstream_request_duration_seconds{http_status}; 0 is no answer, "none".
  void UpstreamAnswered(int http_status, std::chrono::nanoseconds duration);

  // tokend_audit_append_duration_seconds: from handing a record over to its being durable.
  void AuditAppended(std::chrono::nanoseconds duration);

  // Serves /metrics.
  const std::shared_ptr<prometheus::Registry>& registry() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace tokend::telemetry
