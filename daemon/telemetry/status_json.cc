#include "daemon/telemetry/status_json.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "daemon/base/json.h"

namespace tokend::telemetry {
namespace {

using std::chrono::duration;

std::string Rfc3339(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

void AddTime(JsonObject& object, std::string_view key, std::optional<WallTime> time) {
  if (time) return object.Member(key, Rfc3339(*time));
  object.RawMember(key, "null");
}

template <class Number>
void AddNumber(JsonObject& object, std::string_view key, std::optional<Number> number) {
  if (number) return object.Member(key, *number);
  object.RawMember(key, "null");
}

double Milliseconds(std::chrono::microseconds time) { return duration<double, std::milli>(time).count(); }

template <class Items, class Write>
std::string ListOf(const Items& items, Write write) {
  std::string json;
  JsonArray list(json);
  for (const auto& item : items) {
    std::string one;
    JsonObject object(one);
    write(object, item);
    object.End();
    list.RawElement(one);
  }
  list.End();
  return json;
}

template <class Write>
std::string ObjectOf(Write write) {
  std::string json;
  JsonObject object(json);
  write(object);
  object.End();
  return json;
}

std::string PartsJson(const std::vector<StatusReport::Part>& parts) {
  return ListOf(parts, [](JsonObject& object, const StatusReport::Part& part) {
    object.Member("name", part.name);
    object.Member("ok", part.ok);
    object.Member("decides", part.decides);
    object.Member("state", part.state);
  });
}

std::string ConfigurationJson(const ConfigurationState& state) {
  return ObjectOf([&state](JsonObject& object) {
    object.Member("digest", state.digest);
    AddTime(object, "reload_time", state.reloaded);
    object.Member("in_effect", state.in_effect);
    object.Member("errors", state.errors);
    object.Member("first_error", state.first_error);
  });
}

std::string MinutesJson(const std::vector<Minute>& all) {
  return ListOf(all, [](JsonObject& object, const Minute& minute) {
    AddTime(object, "time", minute.begin);
    object.Member("served", minute.served);
    object.Member("refused", minute.refused);
    object.Member("failed", minute.failed);
    object.Member("cancelled", minute.cancelled);
    const auto part = [&minute](auto which) {
      return minute.latency ? std::optional(Milliseconds((*minute.latency).*which)) : std::nullopt;
    };
    AddNumber(object, "latency_p50_ms", part(&Minute::Latency::median));
    AddNumber(object, "latency_p99_ms", part(&Minute::Latency::percentile_99));
    AddNumber(object, "latency_max_ms", part(&Minute::Latency::longest));
  });
}

std::string_view NameOf(Block block) {
  switch (block) {
    case Block::kBreakerOpen:
      return "breaker_open";
    case Block::kKeyRejected:
      return "key_rejected";
    case Block::kPaused:
      return "paused";
    case Block::kApplicationBreakerOpen:
      return "application_breaker_open";
  }
  return "";
}

std::string BlocksJson(const std::vector<PastBlock>& blocks) {
  return ListOf(blocks, [](JsonObject& object, const PastBlock& block) {
    object.Member("block", NameOf(block.block));
    AddTime(object, "begin_time", block.began);
    AddTime(object, "end_time", block.ended);
    object.Member("cause", block.cause);
  });
}

std::string LimitsJson(const std::vector<LimitState>& limits) {
  return ListOf(limits, [](JsonObject& object, const LimitState& limit) {
    object.Member("name", limit.name);
    object.Member("tokens", limit.tokens);
    object.Member("per_seconds", duration<double>(limit.per).count());
    object.Member("burst", limit.burst);
    AddNumber(object, "remaining", limit.remaining);
  });
}

std::vector<PastBlock> BlocksOf(const std::string& name, const RecentActivity::Report& recent) {
  const auto found = recent.blocks.find(name);
  return found == recent.blocks.end() ? std::vector<PastBlock>() : found->second;
}

// Blocked organizations come first, so that the bound leaves out others.
std::string OrganizationsJson(std::vector<OrganizationState> organizations,
                              const RecentActivity::Report& recent) {
  const auto blocks_of = [&recent](const OrganizationState& organization) {
    return BlocksOf(organization.name, recent);
  };
  const auto is_blocked = [&blocks_of](const OrganizationState& organization) {
    return std::ranges::any_of(blocks_of(organization), [](const PastBlock& block) { return !block.ended; });
  };
  std::stable_partition(organizations.begin(), organizations.end(), is_blocked);
  organizations.resize(std::min(organizations.size(), kMaxListedOrganizations));
  return ListOf(organizations, [&blocks_of](JsonObject& object, const OrganizationState& organization) {
    object.Member("name", organization.name);
    const auto generation = organization.key_generation;
    AddNumber(object, "key_generation", generation != 0 ? std::optional(generation) : std::nullopt);
    object.RawMember("blocks", BlocksJson(blocks_of(organization)));
    object.RawMember("limits", LimitsJson(organization.limits));
  });
}

// A relay has one circuit breaker, whose name is the centre's address.
std::string CentreJson(const std::string& address, const RecentActivity::Report& recent) {
  if (address.empty()) return "null";
  return ObjectOf([&address, &recent, &reach = recent.centre](JsonObject& object) {
    object.Member("address", address);
    AddNumber(object, "reachable", reach ? std::optional(reach->reachable) : std::nullopt);
    AddTime(object, "since_time", reach ? std::optional(reach->since) : std::nullopt);
    object.Member("last_failure", reach ? reach->cause : std::string());
    object.RawMember("blocks", BlocksJson(BlocksOf(address, recent)));
  });
}

std::string ListenersJson(const std::vector<ListenerState>& listeners) {
  return ListOf(listeners, [](JsonObject& object, const ListenerState& listener) {
    object.Member("name", listener.name);
    std::string addresses;
    JsonArray list(addresses);
    for (const std::string& address : listener.addresses) list.Element(address);
    list.End();
    object.RawMember("addresses", addresses);
    object.Member("connections", listener.connections);
    AddTime(object, "certificate_end_time", listener.certificate_not_after);
    AddNumber(object, "keys_age_seconds",
              listener.keys_age ? std::optional(listener.keys_age->count()) : std::nullopt);
  });
}

std::string CallersJson(const RecentActivity::Report& recent) {
  return ObjectOf([&recent](JsonObject& object) {
    AddTime(object, "since_time", recent.callers_since);
    object.Member("missed_calls", recent.callers_missed);
    object.RawMember("busiest", ListOf(recent.callers, [](JsonObject& one, const BusyCaller& caller) {
                       one.Member("caller", caller.name);
                       one.Member("calls", caller.counts.calls);
                       one.Member("refused", caller.counts.refused);
                     }));
  });
}

std::string RefusalsJson(const std::vector<RefusedCalls>& refusals) {
  return ListOf(refusals, [](JsonObject& object, const RefusedCalls& refused) {
    AddTime(object, "time", refused.last);
    AddTime(object, "first_time", refused.first);
    object.Member("count", refused.count);
    object.Member("reason", refused.reason);
    object.Member("detail", refused.detail);
    object.Member("caller", refused.caller);
    object.Member("peer", refused.peer);
    object.Member("listener", refused.listener);
  });
}

std::string UnaccountedJson(const RecentActivity::Report& recent) {
  return ObjectOf([&recent](JsonObject& object) {
    object.Member("count", recent.unaccounted_count);
    object.RawMember("latest", ListOf(recent.unaccounted, [](JsonObject& one, const auto& unaccounted) {
                       const UnaccountedToken& token = unaccounted.token;
                       AddTime(one, "time", unaccounted.time);
                       one.Member("outcome", kTokenOutcomeLabels[IndexOf(token.outcome)]);
                       one.Member("request_id", token.request_id);
                       one.Member("caller", token.caller);
                       one.Member("organization", token.organization);
                       one.Member("application", token.application);
                     }));
  });
}

}  // namespace

std::string ToJson(const StatusReport& report) {
  std::string troubles;
  JsonArray trouble_list(troubles);
  for (const std::string& trouble : report.troubles) trouble_list.Element(trouble);
  trouble_list.End();

  const SystemState& system = report.system;
  return ObjectOf([&](JsonObject& object) {
           object.Member("version", std::string_view(TOKEND_VERSION));
           AddTime(object, "time", report.time);
           AddTime(object, "start_time", report.started);
           object.Member("up_seconds", report.up.count());
           object.Member("ready", report.ready);
           object.RawMember("checks", PartsJson(report.parts));
           object.RawMember("troubles", troubles);
           object.Member("calls_in_flight", report.calls_in_flight);
           object.RawMember("configuration", ConfigurationJson(system.configuration));
           object.RawMember("minutes", MinutesJson(report.recent.minutes));
           object.Member("organization_count", system.organizations.size());
           object.RawMember("organizations", OrganizationsJson(system.organizations, report.recent));
           AddTime(object, "limits_time", system.limits_read);
           object.RawMember("centre", CentreJson(system.centre, report.recent));
           object.RawMember("listeners", ListenersJson(system.listeners));
           object.RawMember("callers", CallersJson(report.recent));
           object.RawMember("refusals", RefusalsJson(report.recent.refusals));
           object.RawMember("unaccounted", UnaccountedJson(report.recent));
         }) +
         "\n";
}

}  // namespace tokend::telemetry
