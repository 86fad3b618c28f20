#include "client/output.h"

#include <absl/time/time.h>
#include <google/protobuf/util/json_util.h>

#include <array>
#include <cstdlib>
#include <vector>

#include "client/table.h"
#include "daemon/base/json.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::client {
namespace {

// A line "name: value", or nothing where the value is empty.
std::string Field(const std::string& name, std::string_view value) {
  return value.empty() ? std::string() : name + ": " + Printable(value) + "\n";
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  return absl::FormatDuration(absl::FromChrono(duration));
}

std::string Join(const std::vector<std::string>& values) {
  std::string joined;
  for (const std::string& value : values) joined += (joined.empty() ? "" : ",") + value;
  return joined;
}

// Adds one row for each limit. The grant's own columns are filled in the first of them.
void AddGrant(const Grant& grant, std::vector<Row>& rows) {
  Row row = {grant.name, Join(grant.organizations), Join(grant.applications), Join(grant.scopes)};
  const std::size_t own_columns = row.size();
  for (const Limit& limit : grant.limits) {
    row.insert(row.end(), {limit.name, std::to_string(limit.tokens) + "/" + FormatDuration(limit.window),
                           std::to_string(limit.burst), std::to_string(limit.remaining),
                           FormatDuration(limit.retry_after)});
    rows.push_back(std::move(row));
    row.assign(own_columns, "");
  }
  if (grant.limits.empty()) rows.push_back(std::move(row));
}

void SetDuration(std::chrono::nanoseconds value, google::protobuf::Duration& duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(value);
  duration.set_seconds(seconds.count());
  duration.set_nanos(static_cast<std::int32_t>((value - seconds).count()));
}

void SetGrant(const Grant& grant, v1::Grant& message) {
  message.set_name(grant.name);
  message.mutable_organizations()->Assign(grant.organizations.begin(), grant.organizations.end());
  message.mutable_applications()->Assign(grant.applications.begin(), grant.applications.end());
  message.mutable_scopes()->Assign(grant.scopes.begin(), grant.scopes.end());
  for (const Limit& limit : grant.limits) {
    v1::Limit& added = *message.add_limits();
    added.set_name(limit.name);
    added.set_tokens(limit.tokens);
    SetDuration(limit.window, *added.mutable_window());
    added.set_burst(limit.burst);
    added.set_remaining(limit.remaining);
    SetDuration(limit.retry_after, *added.mutable_retry_after());
  }
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for an Any of unknown type or a Duration out of range, and these messages hold neither.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) std::abort();
  return json + "\n";
}

std::string Name(Health health) {
  switch (health) {
    case Health::kServing:
      return "SERVING";
    case Health::kNotServing:
      return "NOT_SERVING";
    case Health::kServiceUnknown:
      return "SERVICE_UNKNOWN";
    case Health::kUnknown:
      break;
  }
  return "UNKNOWN";
}

}  // namespace

std::string ToText(const Token& token) {
  return Field("bearer", token.bearer.Expose()) + Field("id", token.id) +
         Field("organization", token.organization) + Field("application", token.application) +
         Field("description", token.description) + Field("scopes", Join(token.scopes)) +
         Field("request_id", token.request_id) + Field("replayed", token.replayed ? "true" : "false") +
         Field("audit_sequence", std::to_string(token.audit_sequence));
}

std::string ToText(const CallerInfo& info) {
  std::string text = Field("caller", info.caller) + Field("authentication", info.authentication) +
                     Field("listener", info.listener);
  if (info.grants.empty()) return text + "grants: none\n";
  std::vector<Row> rows = {{"GRANT", "ORGANIZATIONS", "APPLICATIONS", "SCOPES", "LIMIT", "TOKENS", "BURST",
                            "REMAINING", "RETRY AFTER"}};
  for (const Grant& grant : info.grants) AddGrant(grant, rows);
  text += "\n" + Table(std::move(rows));
  if (info.more_grants) {
    text += "\nThe first " + std::to_string(info.grants.size()) + " grants are shown. There are more.\n";
  }
  return text;
}

std::string ToText(Health health) { return Field("status", Name(health)); }

std::string ToJson(const Token& token) {
  v1::CreateTokenResponse message;
  v1::Token& inner = *message.mutable_token();
  inner.set_id(token.id);
  inner.set_organization(token.organization);
  inner.set_application(token.application);
  inner.set_description(token.description);
  inner.set_bearer(std::string(token.bearer.Expose()));
  inner.mutable_scopes()->Assign(token.scopes.begin(), token.scopes.end());
  message.set_request_id(token.request_id);
  message.set_replayed(token.replayed);
  message.set_audit_sequence(token.audit_sequence);
  return ToJson(message);
}

std::string ToJson(const CallerInfo& info) {
  v1::GetCallerResponse message;
  message.set_caller(info.caller);
  message.set_authentication(info.authentication);
  message.set_listener(info.listener);
  for (const Grant& grant : info.grants) SetGrant(grant, *message.add_grants());
  message.set_more_grants(info.more_grants);
  return ToJson(message);
}

std::string ToJson(Health health) {
  std::string json;
  JsonObject object(json);
  object.Member("status", Name(health));
  object.End();
  return json + "\n";
}

std::string ToText(const Status& error) {
  const ErrorDetails details = DetailsOf(error);
  std::string text = absl::StatusCodeToString(error.code());
  if (!details.reason.empty()) text += " (" + Printable(details.reason) + ")";
  text += ": " + Printable(std::string(error.message())) + "\n";
  for (const FieldViolation& violation : details.fields) {
    text += Field("  field " + Printable(violation.field), violation.description);
  }
  for (const QuotaViolation& violation : details.quotas) {
    text += Field("  limit " + Printable(violation.subject), violation.description);
  }
  if (details.retry_after) text += Field("  retry_after", FormatDuration(*details.retry_after));
  if (details.upstream_code) text += Field("  upstream_code", std::to_string(*details.upstream_code));
  if (details.audit_sequence) text += Field("  audit_sequence", std::to_string(*details.audit_sequence));
  return text + Field("  request_id", details.request_id);
}

}  // namespace tokend::client
