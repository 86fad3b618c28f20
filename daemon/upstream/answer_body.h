#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/secret.h"

namespace tokend::upstream {

// What an answer's JSON says in the fields that are documented. Of its texts nothing is kept but object ids
// and the bearer: the others could hold anything.
struct AnswerBody {
  enum class Status { kAbsent, kTrue, kFalse, kOther };
  enum class Scopes { kAbsent, kAsked, kOther };

  // The whole body is one object of strict JSON (RFC 8259, UTF-8), and no documented key stands twice in its
  // object. Where this is false the other fields hold what was read before the fault: use them for nothing
  // but to record that a bearer was there.
  bool valid = false;

  Status status = Status::kAbsent;
  std::optional<std::int64_t> error_code;  // where it is a JSON integer
  // Nothing: absent. Empty: something that is no object id.
  std::optional<std::string> id;
  std::optional<std::string> organization;
  std::optional<std::string> application;
  // 1 to 128 printable ASCII characters.
  std::optional<Bearer> bearer;
  Scopes scopes_kind = Scopes::kAbsent;
  std::vector<std::string> scopes;  // those named, in the order in which they were asked for
};

// Reads an answer. `asked_scopes` are those that its list may hold. Unknown fields may hold any JSON.
AnswerBody ReadAnswerBody(const Secret& body, const std::vector<std::string>& asked_scopes);

}  // namespace tokend::upstream
