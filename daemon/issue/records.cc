#include "daemon/issue/records.h"

#include <string>

#include "daemon/config/config.h"

namespace tokend::issue {
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

audit::Record RecordOf(const Caller& caller) {
  audit::Record record;
  record.mutable_caller()->set_name(caller.name());
  record.mutable_caller()->set_authentication(std::string(Name(caller.authentication())));
  record.mutable_caller()->set_listener(caller.listener());
  record.mutable_caller()->set_peer(caller.peer());
  return record;
}

audit::Record RecordOf(const Caller& caller, const TokenRequest& request) {
  audit::Record record = RecordOf(caller);
  record.set_request_id(request.request_id());
  record.mutable_target()->set_organization(request.organization());
  record.mutable_target()->set_application(request.application());
  for (const std::string& scope : request.scopes()) record.mutable_target()->add_scopes(scope);
  record.mutable_target()->set_description(request.description());
  return record;
}

audit::Record RecordOf(const Caller& caller, const TokenRequest& request, const Permitted& permitted) {
  audit::Record record = RecordOf(caller, request);
  record.mutable_target()->clear_scopes();
  for (const std::string& scope : permitted.scopes()) record.mutable_target()->add_scopes(scope);
  record.mutable_target()->set_description(permitted.description());
  record.set_grant(permitted.grant().name);
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

}  // namespace tokend::issue
