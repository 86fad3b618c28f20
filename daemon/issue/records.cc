#include "daemon/issue/records.h"

#include <array>
#include <chrono>
#include <string>

#include "daemon/config/config.h"

namespace tokend::issue {

Allowance AllowanceOf(const ConfigSnapshot& config, const Caller* caller) {
  const bool named = caller == nullptr || config.policy.Names(caller->name());
  return named ? Allowance::kOwn : Allowance::kShared;
}

const char* EventOf(Reason reason) {
  switch (reason) {
    case Reason::kInvalidRequest:
    case Reason::kRequestIdReused:
      return audit::event::kRequestInvalid;
    case Reason::kCallerUnknown:
      return audit::event::kRequestUnauthenticated;
    case Reason::kNotPermitted:
      return audit::event::kRequestDenied;
    case Reason::kRateLimited:
    case Reason::kOverloaded:
    case Reason::kShuttingDown:
      return audit::event::kRequestLimited;
    default:
      return audit::event::kRequestFailed;
  }
}

const char* EventOf(TokenOutcome outcome) {
  constexpr std::array<const char*, kTokenOutcomeLabels.size()> kEvents = {
      audit::event::kTokenIssued, audit::event::kTokenReplayed, audit::event::kTokenRefused,
      audit::event::kTokenWithheld, audit::event::kTokenUnknown};
  return kEvents[IndexOf(outcome)];
}

audit::Record RecordOf(const Caller& caller, std::string_view on_behalf_of) {
  audit::Record record;
  record.mutable_caller()->set_name(caller.name());
  record.mutable_caller()->set_authentication(std::string(Name(caller.authentication())));
  record.mutable_caller()->set_listener(caller.listener());
  record.mutable_caller()->set_peer(caller.peer());
  record.mutable_caller()->set_on_behalf_of(std::string(on_behalf_of));
  return record;
}

audit::Record RecordOf(const RequestContext& context) {
  const TokenRequest& request = context.request;
  const bool granted = context.permitted.has_value();
  audit::Record record = RecordOf(context.caller, context.on_behalf_of());
  record.set_request_id(request.request_id());
  record.set_trace(request.trace());
  record.mutable_target()->set_organization(request.organization());
  record.mutable_target()->set_application(request.application());
  for (const std::string& scope : granted ? context.permitted->scopes() : request.scopes()) {
    record.mutable_target()->add_scopes(scope);
  }
  record.mutable_target()->set_description(granted ? context.permitted->description()
                                                   : request.description());
  if (granted) record.set_grant(context.permitted->grant().name);
  record.set_config(context.config->fingerprint);
  return record;
}

void Describe(const Failure& failure, audit::Record& record) {
  record.set_reason(std::string(Name(failure.reason)));
  record.set_detail(failure.detail);
}

void Describe(const UpstreamExchange& exchange, audit::Record& record) {
  auto* upstream = record.mutable_upstream();
  upstream->set_http_status(exchange.http_status);
  if (exchange.error_code) upstream->set_error_code(*exchange.error_code);
  upstream->set_latency_us(exchange.latency.count());
  upstream->set_key_generation(exchange.key_generation);
}

Failure AuditUnavailable(const char* detail) {
  return {.reason = Reason::kAuditUnavailable, .detail = detail, .retry_after = std::chrono::seconds(1)};
}

}  // namespace tokend::issue
