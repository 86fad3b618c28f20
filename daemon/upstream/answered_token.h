#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/mint_outcome.h"
#include "daemon/base/secret.h"
#include "daemon/upstream/upstream.h"

namespace tokend::upstream {

// The token in an answer that reports success, before it is checked. Every kind of upstream fills this in.
struct AnsweredToken {
  enum class Scopes { kAbsent, kAsked, kOther };

  // Nothing: absent. Empty: present, but not an object id.
  std::optional<std::string> id;
  std::optional<std::string> organization;
  std::optional<std::string> application;
  std::optional<Bearer> bearer;  // nothing: absent, or not valid
  Scopes scopes_kind = Scopes::kAbsent;
  std::vector<std::string> scopes;  // the answer's, in the order in which they were asked for
};

// What makes this another token than the one that was asked for: a clause in fixed words. Empty: nothing.
std::string_view FaultOfTarget(const AnsweredToken& token, const MintRequest& request);

// The same. A token without a valid id or a valid bearer has a fault too.
std::string_view FaultOf(const AnsweredToken& token, const MintRequest& request);

// A token with the answer's values and, where the answer has none, with the request's.
std::shared_ptr<const Token> MakeToken(AnsweredToken token, const MintRequest& request);

// The token that the upstream has sent, whether it is returned or withheld. Null: none.
const Token* TokenOf(const MintResult& result);

}  // namespace tokend::upstream
