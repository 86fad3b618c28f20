#include "client/answer.h"

#include <absl/strings/match.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "client/status.h"
#include "daemon/base/form.h"

namespace tokend::client {
namespace {

// A slug says nothing about an id.
bool AreOtherIds(const std::string& asked, const std::string& answered) {
  return IsObjectId(asked) && IsObjectId(answered) && !absl::EqualsIgnoreCase(asked, answered);
}

bool HasOtherScopes(const v1::CreateTokenRequest& request, const v1::Token& token) {
  const auto& asked = request.scopes();
  return !asked.empty() &&
         std::any_of(token.scopes().begin(), token.scopes().end(), [&](const std::string& scope) {
           return std::find(asked.begin(), asked.end(), scope) == asked.end();
         });
}

// The field of the message that keeps it from being an answer to the request, and why; empty if there is
// none.
std::string FaultOf(const v1::CreateTokenRequest& request, const v1::CreateTokenResponse& response) {
  const v1::Token& token = response.token();
  if (request.validate_only()) {
    if (!token.bearer().empty() || !token.id().empty()) return "a token, and none was to be created";
  } else if (!IsBearer(token.bearer())) {
    return "a bearer that is not 1 to 128 printable ASCII characters";
  }
  if (!absl::EqualsIgnoreCase(request.request_id(), response.request_id())) return "another request_id";
  if (AreOtherIds(request.organization(), token.organization())) return "another organization";
  if (AreOtherIds(request.application(), token.application())) return "another application";
  if (HasOtherScopes(request, token)) return "a scope that was not asked for";
  return {};
}

Limit ToLimit(const v1::Limit& limit) {
  return {
      .name = limit.name(),
      .tokens = limit.tokens(),
      .window = FromProto(limit.window()),
      .burst = limit.burst(),
      .remaining = limit.remaining(),
      .retry_after = FromProto(limit.retry_after()),
  };
}

}  // namespace

Result<Token> TakeToken(const v1::CreateTokenRequest& request, v1::CreateTokenResponse& response) {
  const std::string fault = FaultOf(request, response);
  v1::Token& token = *response.mutable_token();
  Token taken{
      .id = token.id(),
      .organization = token.organization(),
      .application = token.application(),
      .description = token.description(),
      .scopes = {token.scopes().begin(), token.scopes().end()},
      .bearer = Bearer(token.bearer()),
      .request_id = response.request_id(),
      .replayed = response.replayed(),
      .audit_sequence = response.audit_sequence(),
  };
  OPENSSL_cleanse(token.mutable_bearer()->data(), token.bearer().size());
  if (fault.empty()) return taken;
  Status error =
      FromGrpc({grpc::StatusCode::INTERNAL, "the daemon's answer holds " + fault}, request.request_id());
  SetOutcome(Outcome::kLookForToken, error);
  return error;
}

CallerInfo ToCallerInfo(const v1::GetCallerResponse& response) {
  CallerInfo info{
      .caller = response.caller(),
      .authentication = response.authentication(),
      .listener = response.listener(),
      .grants = {},
      .more_grants = response.more_grants(),
  };
  for (const v1::Grant& grant : response.grants()) {
    Grant& added = info.grants.emplace_back(Grant{
        .name = grant.name(),
        .organizations = {grant.organizations().begin(), grant.organizations().end()},
        .applications = {grant.applications().begin(), grant.applications().end()},
        .scopes = {grant.scopes().begin(), grant.scopes().end()},
        .limits = {},
    });
    for (const v1::Limit& limit : grant.limits()) added.limits.push_back(ToLimit(limit));
  }
  return info;
}

}  // namespace tokend::client
