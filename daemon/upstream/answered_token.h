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

// The token in an answer that says success, as any kind of upstream gives it, before it is checked.
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

// 1 to 128 printable ASCII characters.
bool IsBearer(std::string_view text);

// What makes this another token than the one that was asked for: a clause in fixed words. Empty: nothing.
std::string_view FaultOfTarget(const AnsweredToken& token, const MintRequest& request);

// The same, and whether the token has a valid id and a valid bearer.
std::string_view FaultOf(const AnsweredToken& token, const MintRequest& request);

// The token with what the answer says of it, and otherwise with what the request asked for.
std::shared_ptr<const Token> MakeToken(AnsweredToken token, const MintRequest& request);

// The token that the upstream has sent, be it handed out or withheld; null: none.
const Token* TokenOf(const MintResult& result);

}  // namespace tokend::upstream
