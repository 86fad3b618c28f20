#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/block.h"
#include "daemon/base/token_outcome.h"
#include "daemon/telemetry/recent_activity.h"

namespace tokend::telemetry {

enum class Reload { kDone, kRejected };

// The protocol between the daemon and its upstream.
enum class UpstreamProtocol { kHttp, kGrpc };

// Every metric that the daemon exports. Thread-safe. Callers cannot choose a label's value: labels have names
// from the configuration and fixed words, and a method, status or outcome that is not known counts as
// "other". The counters of tokens are exported from the start, with the value 0, so that Prometheus sees the
// first token as an increase. A histogram of a rare method and status, or of an HTTP status, is exported once
// it is used, because it has many buckets.
class Metrics {
 public:
  explicit Metrics(UpstreamProtocol upstream = UpstreamProtocol::kHttp);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // grpc_server_call_duration_seconds{grpc_method,grpc_status}, with the name and buckets of gRFC A66.
  // `method` is a Method's name(), `status` the name of a gRPC code, such as "OK".
  void CallEnded(std::string_view method, std::string_view status, std::chrono::nanoseconds duration);

  // tokend_calls_in_flight.
  void SetCallsInFlight(std::size_t calls);
  std::size_t calls_in_flight() const;

  // tokend_connections{listener} and tokend_connections_closed_total{listener,cause}. `cause` is a fixed
  // word.
  void SetConnections(const std::string& listener, std::size_t connections);
  void ConnectionClosed(const std::string& listener, std::string_view cause);

  // tokend_tls_handshakes_failed_total.
  void TlsHandshakeFailed();

  // tokend_jwks_age_seconds{listener}: how old the keys are that were fetched from jwks_url.
  void SetJwksAge(const std::string& listener, std::chrono::nanoseconds age);

  // tokend_tls_certificate_not_after_seconds{listener}, in Unix time.
  void SetTlsCertificateEnd(const std::string& listener, std::chrono::system_clock::time_point not_after);

  // tokend_tokens_total{outcome}.
  void TokenEnded(TokenOutcome outcome);

  // tokend_upstream_request_duration_seconds{http_status}, or {grpc_status} with the status's name. Nothing,
  // for no answer, and a number that is not an HTTP status are exported as "none".
  void UpstreamAnswered(std::optional<int> status, std::chrono::nanoseconds duration);

  // tokend_upstream_reachable.
  void SetUpstreamReachable(bool reachable);

  // tokend_config_reloads_total{result}, and tokend_config_last_reload_successful: 1 for done, 0 for
  // rejected.
  void ConfigReloaded(Reload result);

  // tokend_audit_append_duration_seconds: the time of one write and fdatasync of a batch of records.
  void AuditAppended(std::chrono::nanoseconds duration);

  // tokend_audit_writable.
  void SetAuditWritable(bool writable);

  // tokend_limit_refusals_total{limit}. `limit` is "<grant or organization>/<limit>", with configured names.
  void LimitRefused(const std::string& limit);

  // tokend_ledger_entries.
  void SetLedgerEntries(std::size_t entries);

  // tokend_ledger_quarantine_seconds.
  void SetQuarantine(std::chrono::seconds left);

  // tokend_redis_reachable. Exported only where Redis is configured.
  void SetRedisReachable(bool reachable);

  // tokend_turn_queue_length{organization}, and tokend_turn_wait_seconds for each request that got its turn.
  void SetTurnQueue(const std::string& organization, std::size_t waiting);
  void TurnCame(std::chrono::nanoseconds waited);

  // The block's metric, {organization}.
  void SetBlocked(const std::string& organization, Block block, bool blocked);

  // tokend_upstream_retries_total, and tokend_upstream_retry_budget{organization}.
  void Retried();
  void SetRetryBudget(const std::string& organization, double retries);

  // What the status page shows of the last hour.
  RecentActivity& recent() { return recent_; }
  const RecentActivity& recent() const { return recent_; }

  // Every metric in Prometheus's text format, version 0.0.4.
  std::string Text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
  RecentActivity recent_;
};

}  // namespace tokend::telemetry
