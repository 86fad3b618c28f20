#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/secret.h"

namespace tokend::upstream {

// The documented fields of an answer's JSON. Of its texts only object ids and the bearer are kept: other
// texts could hold anything.
struct AnswerBody {
  enum class Scopes { kAbsent, kAsked, kOther };

  // Whether the whole body is one object of strict JSON (RFC 8259, UTF-8) in which no object has a documented
  // key twice. If false, the other fields hold what was read before the fault: use them only to record that
  // there was a bearer.
  bool valid = false;

  std::optional<bool> status;              // if it is a JSON boolean
  std::optional<std::int64_t> error_code;  // if it is a JSON integer
  // Nothing: absent. Empty: present, but not an object id.
  std::optional<std::string> id;
  std::optional<std::string> organization;
  std::optional<std::string> application;
  // 1 to 128 printable ASCII characters.
  std::optional<Bearer> bearer;
  Scopes scopes_kind = Scopes::kAbsent;
  std::vector<std::string> scopes;  // the answer's, in the order in which they were asked for
};

// Reads an answer; a byte order mark before it is ignored. Its scopes must be among `asked_scopes`. Unknown
// fields may hold any JSON.
AnswerBody ReadAnswerBody(const Secret& body, const std::vector<std::string>& asked_scopes);

}  // namespace tokend::upstream
