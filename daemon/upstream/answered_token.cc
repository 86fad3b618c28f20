#include "daemon/upstream/answered_token.h"

#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "daemon/base/form.h"

namespace tokend::upstream {
namespace {

// Whether an answer is about another resource. If the request named it by its id, the answer must have the
// same id; if by a slug, the answer's id may be any.
bool Contradicts(const std::optional<std::string>& answered, const std::string& asked) {
  return answered.has_value() && IsObjectId(asked) && !absl::EqualsIgnoreCase(*answered, asked);
}

}  // namespace

std::string_view FaultOfTarget(const AnsweredToken& token, const MintRequest& request) {
  if (Contradicts(token.organization, request.organization)) return "for another organization";
  if (Contradicts(token.application, request.application)) return "for another application";
  if (token.scopes_kind == AnsweredToken::Scopes::kOther) return "with scopes that were not asked for";
  return {};
}

std::string_view FaultOf(const AnsweredToken& token, const MintRequest& request) {
  if (token.id.value_or("").empty()) return "without a valid id";
  if (!token.bearer.has_value()) return "without a valid bearer";
  return FaultOfTarget(token, request);
}

std::shared_ptr<const Token> MakeToken(AnsweredToken token, const MintRequest& request) {
  auto made = std::make_shared<Token>();
  made->id = token.id.value_or("");
  made->organization = token.organization.value_or("");
  made->application = token.application.value_or("");
  made->description = request.description;
  made->scopes = request.scopes;
  if (token.scopes_kind == AnsweredToken::Scopes::kAsked) made->scopes = std::move(token.scopes);
  if (token.bearer) made->bearer = *std::move(token.bearer);
  return made;
}

const Token* TokenOf(const MintResult& result) {
  if (const auto* minted = std::get_if<Minted>(&result)) return minted->token.get();
  const auto* unclear = std::get_if<Indeterminate>(&result);
  return unclear != nullptr ? unclear->withheld.get() : nullptr;
}

}  // namespace tokend::upstream
