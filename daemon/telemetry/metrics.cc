#include "daemon/telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>

#include "daemon/base/methods.h"

namespace tokend::telemetry {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

// The last name of each list stands for every name that is not in the list.
constexpr auto kMethodNames = [] {
  std::array<std::string_view, kMethods.size() + 1> names;
  names.back() = "other";
  for (std::size_t i = 0; i < kMethods.size(); ++i) names[i] = kMethods[i]->name();
  return names;
}();
constexpr auto kStatuses = std::to_array<std::string_view>(
    {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
     "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
     "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED", "other"});

constexpr int kMinHttpStatus = 100;
constexpr int kMaxHttpStatus = 599;
constexpr int kMaxGrpcStatus = static_cast<int>(kStatuses.size()) - 2;  // the last name is "other"

template <std::size_t kSize>
std::size_t IndexOf(const std::array<std::string_view, kSize>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end() - 1, name);
  return static_cast<std::size_t>(std::distance(names.begin(), found));
}

double Seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

// A series that is created when it is first used. Later uses need no lock.
class LazyHistogram {
 public:
  template <class MakeLabels>
  Histogram& In(Family<Histogram>& family, const Histogram::BucketBoundaries& buckets, MakeLabels labels) {
    Histogram* histogram = histogram_.load(std::memory_order_acquire);
    if (histogram == nullptr) {
      // Where two threads get here at the same time, Add gives both of them the same series.
      histogram = &family.Add(labels(), buckets);
      histogram_.store(histogram, std::memory_order_release);
    }
    return *histogram;
  }

 private:
  std::atomic<Histogram*> histogram_{nullptr};
};

struct Registry : prometheus::Registry {
  Family<Counter>& Counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(*this);
  }
  Family<Gauge>& Gauges(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(*this);
  }
  Family<Histogram>& Histograms(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(*this);
  }
};

}  // namespace

struct Metrics::Families {
  explicit Families(UpstreamProtocol protocol) : upstream_protocol(protocol) {
    for (const Method& method : {kCreateToken, kGetCaller}) {
      Call(IndexOf(kMethodNames, method.name()), IndexOf(kStatuses, "OK"));
    }
    Upstream(protocol == UpstreamProtocol::kHttp ? 200 : 0);
    last_reload.Set(1);
    for (std::size_t outcome = 0; outcome < tokens.size(); ++outcome) {
      tokens[outcome] = &token_family.Add({{"outcome", std::string(kTokenOutcomeLabels[outcome])}});
    }
    token_family.Add({{"outcome", "other"}});  // stays 0: dashboards may sum over it
    for (std::size_t block = 0; block < blocks.size(); ++block) {
      blocks[block] = &registry.Gauges(kBlocks[block].metric, kBlocks[block].metric_help);
    }
    registry.Gauges("tokend_build_info", "Always 1; the version is in the label.")
        .Add({{"version", TOKEND_VERSION}})
        .Set(1);
    registry.Gauges("process_start_time_seconds", "When the process started, as Unix time.")
        .Add({})
        .Set(Seconds(std::chrono::system_clock::now().time_since_epoch()));
    audit_writable.Set(1);
  }

  Histogram& Call(std::size_t method, std::size_t status) {
    return calls[method][status].In(call_family, call_buckets, [method, status] {
      return prometheus::Labels{{"grpc_method", std::string(kMethodNames[method])},
                                {"grpc_status", std::string(kStatuses[status])}};
    });
  }

  Histogram& Upstream(std::optional<int> status) {
    if (upstream_protocol == UpstreamProtocol::kGrpc) return Centre(status);
    const bool none = !status || *status < kMinHttpStatus || *status > kMaxHttpStatus;
    const std::size_t index = none ? 0 : static_cast<std::size_t>(*status - kMinHttpStatus + 1);
    return upstream[index].In(upstream_family, upstream_buckets, [none, status] {
      return prometheus::Labels{{"http_status", none ? "none" : std::to_string(*status)}};
    });
  }

  Histogram& Centre(std::optional<int> status) {
    const bool known = status && *status >= 0 && *status <= kMaxGrpcStatus;
    const std::size_t name = known ? static_cast<std::size_t>(*status) : kStatuses.size() - 1;
    return upstream[status ? name + 1 : 0].In(upstream_family, upstream_buckets, [status, name] {
      return prometheus::Labels{{"grpc_status", status ? std::string(kStatuses[name]) : "none"}};
    });
  }

  const UpstreamProtocol upstream_protocol;
  Registry registry;

  // The latency buckets of gRFC A66, in seconds, like all buckets here.
  const Histogram::BucketBoundaries call_buckets = {
      0,    0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008,
      0.01, 0.013,   0.016,   0.02,   0.025,  0.03,   0.04,   0.05,  0.065, 0.08,  0.1,   0.13,  0.16,  0.2,
      0.25, 0.3,     0.4,     0.5,    0.65,   0.8,    1,      2,     5,     10,    20,    50,    100};
  Family<Histogram>& call_family =
      registry.Histograms("grpc_server_call_duration_seconds",
                          "Time from a call's arrival to its end, by method and status (gRFC A66).");
  std::array<std::array<LazyHistogram, kStatuses.size()>, kMethodNames.size()> calls;

  Family<Counter>& token_family =
      registry.Counters("tokend_tokens_total", "Requests for a token that ended, by outcome.");
  std::array<Counter*, kTokenOutcomeLabels.size()> tokens{};

  // From the answer of a near upstream to more than upstream.applivery.timeout.
  const Histogram::BucketBoundaries upstream_buckets = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                                        2.5,  5,     10,   20,  30,   60};
  Family<Histogram>& upstream_family =
      registry.Histograms("tokend_upstream_request_duration_seconds",
                          "Time from a request to the upstream to its answer, by HTTP status (Applivery) or "
                          "gRPC status (a central tokend); none: no answer.");
  std::array<LazyHistogram, kMaxHttpStatus - kMinHttpStatus + 2> upstream;  // [0]: none
  Family<Gauge>& reachable_family = registry.Gauges(
      "tokend_upstream_reachable", "Whether the last request to the upstream was answered: 1 or 0.");

  Gauge& calls_in_flight =
      registry.Gauges("tokend_calls_in_flight", "Calls that have arrived and have not ended.").Add({});
  Counter& failed_handshakes =
      registry
          .Counters("tokend_tls_handshakes_failed_total",
                    "Connections to a TLS listener that were closed because their handshake failed or took "
                    "too long.")
          .Add({});
  Family<Gauge>& jwks_family =
      registry.Gauges("tokend_jwks_age_seconds",
                      "Time since the keys of a listener were last fetched from its jwks_url, by listener.");
  Family<Gauge>& certificate_family =
      registry.Gauges("tokend_tls_certificate_not_after_seconds",
                      "When the certificate of a TLS listener expires, as Unix time, by listener.");
  Family<Gauge>& connection_family =
      registry.Gauges("tokend_connections", "Connections that are open, by listener.");
  Family<Counter>& closed_family = registry.Counters("tokend_connections_closed_total",
                                                     "Connections that were closed, by listener and cause.");
  Family<Counter>& reload_family = registry.Counters(
      "tokend_config_reloads_total", "Reloads of the configuration and its files, by result.");
  Counter& reloads_done = reload_family.Add({{"result", "done"}});
  Counter& reloads_rejected = reload_family.Add({{"result", "rejected"}});
  Gauge& last_reload =
      registry
          .Gauges("tokend_config_last_reload_successful",
                  "Whether the last reload was done (1) or rejected (0): then the configuration before it is "
                  "still used.")
          .Add({});
  // From one fdatasync on a fast disk to more than audit.deadline.
  Histogram& audit = registry
                         .Histograms("tokend_audit_append_duration_seconds",
                                     "Time of one write and fdatasync of a batch of audit records.")
                         .Add({}, Histogram::BucketBoundaries{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                                              0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5});
  Gauge& audit_writable =
      registry.Gauges("tokend_audit_writable", "Whether audit records can be made durable: 1 or 0.").Add({});
  Family<Counter>& limit_family =
      registry.Counters("tokend_limit_refusals_total",
                        "Requests that were refused because this limit was used up, by limit: <grant or "
                        "organization>/<limit>.");
  Gauge& ledger_quarantine =
      registry
          .Gauges("tokend_ledger_quarantine_seconds",
                  "For how long callers' request_ids that are not known are still refused; 0: they are not.")
          .Add({});
  Gauge& ledger_entries =
      registry.Gauges("tokend_ledger_entries", "Known request_ids, of at most requests.max_entries.").Add({});
  Family<Gauge>& redis_family =
      registry.Gauges("tokend_redis_reachable", "Whether the Redis of state.redis can be used: 1 or 0.");
  Family<Gauge>& queue_family = registry.Gauges(
      "tokend_turn_queue_length", "Requests that wait for their turn at an organization's limits.");
  // From the time until a busy limit has its next token to the longest time that a call waits.
  Histogram& turn_wait =
      registry
          .Histograms("tokend_turn_wait_seconds", "Time for which requests waited until they got their turn.")
          .Add({},
               Histogram::BucketBoundaries{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60});
  std::array<Family<Gauge>*, kBlocks.size()> blocks{};
  Counter& retries =
      registry.Counters("tokend_upstream_retries_total", "Attempts of a request after its first.").Add({});
  Family<Gauge>& budget_family =
      registry.Gauges("tokend_upstream_retry_budget", "Retries that are left to an organization's requests.");
};

Metrics::Metrics(UpstreamProtocol upstream) : families_(std::make_unique<Families>(upstream)) {}
Metrics::~Metrics() = default;

void Metrics::CallEnded(std::string_view method, std::string_view status, std::chrono::nanoseconds duration) {
  families_->Call(IndexOf(kMethodNames, method), IndexOf(kStatuses, status)).Observe(Seconds(duration));
}

void Metrics::SetCallsInFlight(std::size_t calls) {
  families_->calls_in_flight.Set(static_cast<double>(calls));
}

std::size_t Metrics::calls_in_flight() const {
  return static_cast<std::size_t>(families_->calls_in_flight.Value());
}

void Metrics::SetConnections(const std::string& listener, std::size_t connections) {
  families_->connection_family.Add({{"listener", listener}}).Set(static_cast<double>(connections));
}

void Metrics::ConnectionClosed(const std::string& listener, std::string_view cause) {
  families_->closed_family.Add({{"listener", listener}, {"cause", std::string(cause)}}).Increment();
}

void Metrics::TlsHandshakeFailed() { families_->failed_handshakes.Increment(); }

void Metrics::SetJwksAge(const std::string& listener, std::chrono::nanoseconds age) {
  families_->jwks_family.Add({{"listener", listener}}).Set(Seconds(age));
}

void Metrics::SetTlsCertificateEnd(const std::string& listener,
                                   std::chrono::system_clock::time_point not_after) {
  families_->certificate_family.Add({{"listener", listener}}).Set(Seconds(not_after.time_since_epoch()));
}

void Metrics::TokenEnded(TokenOutcome outcome) { families_->tokens[IndexOf(outcome)]->Increment(); }

void Metrics::UpstreamAnswered(std::optional<int> status, std::chrono::nanoseconds duration) {
  families_->Upstream(status).Observe(Seconds(duration));
}

void Metrics::SetUpstreamReachable(bool reachable) {
  families_->reachable_family.Add({}).Set(reachable ? 1 : 0);
}

void Metrics::ConfigReloaded(Reload result) {
  const bool done = result == Reload::kDone;
  (done ? families_->reloads_done : families_->reloads_rejected).Increment();
  families_->last_reload.Set(done ? 1 : 0);
}

void Metrics::AuditAppended(std::chrono::nanoseconds duration) {
  families_->audit.Observe(Seconds(duration));
}

void Metrics::SetAuditWritable(bool writable) { families_->audit_writable.Set(writable ? 1 : 0); }

void Metrics::LimitRefused(const std::string& limit) {
  families_->limit_family.Add({{"limit", limit}}).Increment();
}

void Metrics::SetRedisReachable(bool reachable) { families_->redis_family.Add({}).Set(reachable ? 1 : 0); }

void Metrics::SetQuarantine(std::chrono::seconds left) {
  families_->ledger_quarantine.Set(static_cast<double>(left.count()));
}

void Metrics::SetLedgerEntries(std::size_t entries) {
  families_->ledger_entries.Set(static_cast<double>(entries));
}

void Metrics::SetTurnQueue(const std::string& organization, std::size_t waiting) {
  families_->queue_family.Add({{"organization", organization}}).Set(static_cast<double>(waiting));
}

void Metrics::TurnCame(std::chrono::nanoseconds waited) { families_->turn_wait.Observe(Seconds(waited)); }

void Metrics::SetBlocked(const std::string& organization, Block block, bool blocked) {
  families_->blocks[IndexOf(block)]->Add({{"organization", organization}}).Set(blocked ? 1 : 0);
}

void Metrics::Retried() { families_->retries.Increment(); }

void Metrics::SetRetryBudget(const std::string& organization, double retries) {
  families_->budget_family.Add({{"organization", organization}}).Set(retries);
}

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace tokend::telemetry
