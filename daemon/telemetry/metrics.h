#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/block.h"
#include "daemon/base/token_outcome.h"

namespace tokend::telemetry {

enum class Reload { kDone, kRejected };

// Every metric that the daemon has. No label that a caller controls, only what the configuration names: what
// is not a known method, status or outcome is counted as "other". Thread-safe. Counters of tokens stand at 0
// from the start, so that the first of an outcome is seen as a change; a histogram of a rarer method and
// status, or HTTP status, comes with its first use, as each has many buckets.
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
  std::size_t calls_in_flight() const;

  // tokend_connections{listener}, and tokend_connections_closed_total{listener,cause}: what a connection was
  // closed for, a fixed word.
  void SetConnections(const std::string& listener, std::size_t connections);
  void ConnectionClosed(const std::string& listener, std::string_view cause);

  // tokend_tls_handshakes_failed_total.
  void TlsHandshakeFailed();

  // tokend_tokens_total{outcome}.
  void TokenEnded(TokenOutcome outcome);

  // tokend_upstream_request_duration_seconds{http_status}; 0 is no answer, "none", as is what is no HTTP
  // status.
  void UpstreamAnswered(int http_status, std::chrono::nanoseconds duration);

  // tokend_config_reloads_total{result}, and whether the last was done (1) or rejected (0) in
  // tokend_config_last_reload_successful.
  void ConfigReloaded(Reload result);

  // tokend_audit_append_duration_seconds: one write and fdatasync of a batch of records.
  void AuditAppended(std::chrono::nanoseconds duration);

  // tokend_limit_refusals_total{limit}: "<grant or organization>/<limit>", as configured.
  void LimitRefused(const std::string& limit);

  // tokend_ledger_entries.
  void SetLedgerEntries(std::size_t entries);

  // tokend_redis_reachable: there is none where Redis is not used.
  void SetRedisReachable(bool reachable);

  // tokend_turn_queue_length{organization}, and tokend_turn_wait_seconds of those who got their turn.
  void SetTurnQueue(const std::string& organization, std::size_t waiting);
  void TurnCame(std::chrono::nanoseconds waited);

  // The block's metric, {organization}.
  void SetBlocked(const std::string& organization, Block block, bool blocked);

  // tokend_upstream_retries_total, and tokend_upstream_retry_budget{organization}.
  void Retried();
  void SetRetryBudget(const std::string& organization, double retries);

  // All of them in Prometheus's text format, 0.0.4.
  std::string Text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace tokend::telemetry
