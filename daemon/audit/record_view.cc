#include "daemon/audit/record_view.h"

#include <string>

namespace tokend::audit {
namespace {

std::string Text(std::string_view view) { return std::string(view); }

void Copy(const RecordView::Caller& from, v1::Caller& to) {
  to.set_name(Text(from.name));
  to.set_authentication(Text(from.authentication));
  to.set_listener(Text(from.listener));
  to.set_peer(Text(from.peer));
  to.set_on_behalf_of(Text(from.on_behalf_of));
}

void Copy(const RecordView::Target& from, v1::Target& to) {
  to.set_organization(Text(from.organization));
  to.set_application(Text(from.application));
  for (const std::string_view scope : from.scopes) to.add_scopes(Text(scope));
  to.set_description(Text(from.description));
}

void Copy(const RecordView::Upstream& from, v1::Upstream& to) {
  to.set_http_status(static_cast<std::int32_t>(from.http_status));
  to.set_error_code(from.error_code);
  to.set_latency_us(static_cast<std::int64_t>(from.latency_us));
  to.set_key_generation(from.key_generation);
}

void Copy(const RecordView::Token& from, v1::Token& to) {
  to.set_id(Text(from.id));
  to.set_organization(Text(from.organization));
  to.set_application(Text(from.application));
  to.set_fingerprint(Text(from.fingerprint));
  to.set_fingerprint_key(Text(from.fingerprint_key));
}

}  // namespace

v1::Record ToRecord(const RecordView& view) {
  v1::Record record;
  record.set_seq(view.seq);
  SetTime(view.time, record);
  record.set_event(Text(view.event));
  record.set_request_id(Text(view.request_id));
  record.set_intent(view.intent);
  record.set_resolves(view.resolves);
  if (view.caller != RecordView::Caller{}) Copy(view.caller, *record.mutable_caller());
  record.set_digest(Text(view.digest));
  record.set_trace(Text(view.trace));
  if (view.target != RecordView::Target{}) Copy(view.target, *record.mutable_target());
  record.set_grant(Text(view.grant));
  record.set_config(Text(view.config));
  if (view.upstream != RecordView::Upstream{}) Copy(view.upstream, *record.mutable_upstream());
  if (view.token != RecordView::Token{}) Copy(view.token, *record.mutable_token());
  record.set_reason(Text(view.reason));
  record.set_detail(Text(view.detail));
  record.set_count(view.count);
  record.set_signature(Text(view.signature));
  record.set_prev(Text(view.prev));
  return record;
}

}  // namespace tokend::audit
