#include "daemon/app/observers.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/text.h"
#include "daemon/telemetry/log.h"

namespace tokend::app {

using config::LogLevel;
using std::chrono::nanoseconds;
using telemetry::Log;

audit::Hooks AuditHooks(telemetry::Metrics& metrics) {
  audit::Hooks hooks;
  hooks.on_health = [](audit::Health health, std::string_view words) {
    const bool writable = health == audit::Health::kWritable;
    Log(writable ? LogLevel::kInfo : LogLevel::kError, writable ? "audit.recovered" : "audit.failed",
        {{"detail", words}});
  };
  hooks.on_checkpoint = [](std::uint64_t sequence, std::string_view prev) {
    Log(LogLevel::kInfo, "audit.checkpoint", {{"seq", static_cast<std::int64_t>(sequence)}, {"prev", prev}});
  };
  hooks.on_durable = [&metrics](nanoseconds took) { metrics.AuditAppended(took); };
  return hooks;
}

state::Observer StateObserver(telemetry::Metrics& metrics) {
  return {
      .on_entries = [&metrics](std::size_t entries) { metrics.SetLedgerEntries(entries); },
      .on_queue = [&metrics](const std::string& organization,
                             std::size_t waiting) { metrics.SetTurnQueue(organization, waiting); },
      .on_turn = [&metrics](nanoseconds waited) { metrics.TurnCame(waited); },
      .on_quarantine =
          [&metrics, lasts = false](std::chrono::seconds left, const std::string& why) mutable {
            metrics.SetQuarantine(left);
            if (std::exchange(lasts, left.count() > 0) == lasts) return;
            Log(lasts ? LogLevel::kWarning : LogLevel::kInfo,
                lasts ? "ledger.quarantine_began" : "ledger.quarantine_ended",
                {{"detail", why + (lasts ? ": callers' new request_ids are refused" : "")},
                 {"seconds", static_cast<std::int64_t>(left.count())}});
          },
      .on_reach =
          [&metrics](const Status& reach) {
            metrics.SetRedisReachable(reach.ok());
            Log(reach.ok() ? LogLevel::kInfo : LogLevel::kWarning,
                reach.ok() ? "redis.reached" : "redis.unreachable",
                {{"detail", std::string(reach.message())}});
          },
      .on_differences =
          [](const std::vector<std::string>& settings) {
            Log(settings.empty() ? LogLevel::kInfo : LogLevel::kWarning,
                settings.empty() ? "redis.replicas_agree" : "redis.replicas_differ",
                {{"settings", Enumerate(settings)}});
          },
  };
}

upstream::Availability::OnChange AvailabilityObserver(telemetry::Metrics& metrics) {
  using Blocks = std::set<std::pair<std::string, Block>>;
  return [&metrics, begun = Blocks()](const std::string& organization, Block block, bool blocked,
                                      const std::string& cause) mutable {
    metrics.SetBlocked(organization, block, blocked);
    if (blocked) {
      begun.emplace(organization, block);
    } else if (begun.erase({organization, block}) == 0) {
      return;  // at the start every organization is reported without it: nothing has changed
    }
    metrics.recent().BlockChanged(organization, block, blocked, cause);
    const BlockFacts& facts = FactsOf(block);
    const LogLevel level = blocked ? LogLevel::kWarning : LogLevel::kInfo;
    const char* event = blocked ? facts.begin_event : facts.end_event;
    if (cause.empty()) return Log(level, event, {{"organization", organization}});
    Log(level, event, {{"organization", organization}, {"detail", cause}});
  };
}

// A relay has a budget of its own, for all organizations.
issue::RetryPolicy::OnBudget RetryObserver(const UpstreamTraits& upstream, telemetry::Metrics& metrics) {
  if (upstream.centre) return {};
  return std::bind_front(&telemetry::Metrics::SetRetryBudget, &metrics);
}

upstream::RelayUpstream::Observer UpstreamObserver(const UpstreamTraits& upstream,
                                                   telemetry::Metrics& metrics, UpstreamReach& reach) {
  const std::string name = upstream.centre ? "central tokend " + *upstream.centre : "upstream";
  return {
      .on_answer =
          [&metrics, &reach, name,
           is_relay = upstream.centre.has_value()](const upstream::Upstream::Answered& answer) {
            metrics.UpstreamAnswered(answer.status, answer.latency);
            metrics.SetUpstreamReachable(answer.status.has_value());
            if (is_relay) metrics.recent().CentreReached(answer.status.has_value(), answer.error);
            reach.Set(answer.status
                          ? std::nullopt
                          : std::optional(name + ": the last request had no answer: " + answer.error));
          },
      .on_retry = [&metrics] { metrics.Retried(); },
      .on_budget = [&metrics, centre = upstream.centre.value_or("")](
                       double retries) { metrics.SetRetryBudget(centre, retries); },
  };
}

void CountEndedAtStart(const audit::PastRequests& ended, telemetry::Metrics& metrics) {
  for (const audit::PastRequest& request : ended) {
    metrics.TokenEnded(TokenOutcome::kUnknown);
    const audit::RecordView intent = request.texts.Read();
    metrics.recent().TokenUnaccounted(
        {TokenOutcome::kUnknown, std::string(intent.request_id), std::string(intent.caller.name),
         std::string(intent.target.organization), std::string(intent.target.application)},
        request.time);
  }
}

}  // namespace tokend::app
