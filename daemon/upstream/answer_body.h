#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "daemon/base/secret.h"
#include "daemon/upstream/answered_token.h"

namespace tokend::upstream {

// The documented fields of an answer's JSON. Of its texts only object ids and the bearer are kept: other
// texts could hold anything.
struct AnswerBody {
  // Whether the whole body is one object of strict JSON (RFC 8259, UTF-8) in which no object has a documented
  // key twice. If false, the other fields hold what was read before the fault: use them only to record that
  // there was a bearer.
  bool valid = false;

  std::optional<bool> status;              // if it is a JSON boolean
  std::optional<std::int64_t> error_code;  // if it is a JSON integer
  AnsweredToken token;
};

// Reads an answer; a byte order mark before it is ignored. Its scopes must be among `asked_scopes`. Unknown
// fields may hold any JSON.
AnswerBody ReadAnswerBody(const Secret& body, const std::vector<std::string>& asked_scopes);

}  // namespace tokend::upstream
