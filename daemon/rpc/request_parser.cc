#include "daemon/rpc/request_parser.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "daemon/base/form.h"

namespace tokend::rpc {
namespace {

constexpr char kResourceNameForm[] =
    "must be 24 hex digits, or a slug of 3 to 128 characters of [A-Za-z0-9-]";

using Violations = std::vector<FieldViolation>;

void CheckScopes(const v1::CreateTokenRequest& message, Violations& violations) {
  const auto& scopes = message.scopes();
  if (static_cast<std::size_t>(scopes.size()) > kMaxScopes) {
    violations.push_back({"scopes", absl::StrCat("must be at most ", kMaxScopes)});
    return;
  }
  for (auto scope = scopes.begin(); scope != scopes.end(); ++scope) {
    const std::string field = absl::StrCat("scopes[", scope - scopes.begin(), "]");
    if (!IsScope(*scope)) {
      violations.push_back({field, "must be 1 to 64 characters of [A-Za-z0-9._:-]"});
    } else if (std::find(scopes.begin(), scope, *scope) != scope) {
      violations.push_back({field, "must not repeat an earlier scope"});
    }
  }
}

void CheckDescription(const v1::CreateTokenRequest& message, Violations& violations) {
  const std::optional<std::size_t> length = Utf16Length(message.description());
  if (!length) {
    violations.push_back({"description", "must be valid UTF-8"});
  } else if (*length > kMaxDescriptionUtf16) {
    violations.push_back(
        {"description", absl::StrCat("must be at most ", kMaxDescriptionUtf16, " UTF-16 code units")});
  } else if (HasControlCharacters(message.description())) {
    violations.push_back({"description",
                          "must hold no control characters and no bidirectional overrides (U+202A to U+202E, "
                          "U+2066 to U+2069)"});
  }
}

Failure Invalid(Violations violations) {
  Failure failure{Reason::kInvalidRequest};
  for (const FieldViolation& violation : violations) {
    absl::StrAppend(&failure.detail, failure.detail.empty() ? "" : "; ", violation.field,
                    violation.field.empty() ? "" : " ", violation.description);
  }
  failure.fields = std::move(violations);
  return failure;
}

}  // namespace

RequestId RequestParser::IdOf(const v1::CreateTokenRequest& message) {
  if (std::optional<std::string> id = ParseUuid(message.request_id())) {
    return {*std::move(id), RequestIdOrigin::kCaller};
  }
  return {MakeUuid(), RequestIdOrigin::kDaemon};
}

std::variant<TokenRequest, Failure> RequestParser::Parse(const v1::CreateTokenRequest& message,
                                                         const RequestId& id,
                                                         const std::string& default_organization,
                                                         const RequestMetadata& metadata) {
  Violations violations;
  const bool names_organization = !message.organization().empty();
  const std::string& organization = names_organization ? message.organization() : default_organization;
  if (names_organization && !IsResourceName(organization)) {
    violations.push_back({"organization", kResourceNameForm});
  }
  if (!IsResourceName(message.application())) violations.push_back({"application", kResourceNameForm});
  CheckDescription(message, violations);
  CheckScopes(message, violations);
  if (!message.request_id().empty() && id.origin != RequestIdOrigin::kCaller) {
    violations.push_back({"request_id", "must be a UUID, 8-4-4-4-12 hex digits, or empty"});
  }
  if (!violations.empty()) {
    if (organization.empty())
      violations.insert(violations.begin(), FieldViolation{"organization", kOrganizationMissing});
    return Invalid(std::move(violations));
  }

  TokenRequest::Fields fields;
  fields.sent_organization = message.organization();
  fields.organization = organization;
  fields.application = message.application();
  fields.description = message.description();
  fields.scopes.assign(message.scopes().begin(), message.scopes().end());
  std::sort(fields.scopes.begin(), fields.scopes.end());
  fields.request_id = id.value;
  fields.request_id_origin = id.origin;
  fields.validate_only = message.validate_only();
  fields.trace = metadata.trace;
  fields.traceparent = metadata.traceparent;
  fields.relayed = metadata.relayed;
  return TokenRequest(Passkey<RequestParser>(), std::move(fields));
}

Failure RequestParser::Unreadable() {
  return Invalid({{"", "the message must be a tokend.v1.CreateTokenRequest with strings in UTF-8"}});
}

}  // namespace tokend::rpc
