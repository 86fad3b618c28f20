#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/base/secret.h"

namespace tokend {

// A token as the upstream made it.
struct Token {
  std::string id;            // 24 hex digits
  std::string organization;  // 24 hex digits, or empty where upstream did not say
  std::string application;   // 24 hex digits, or empty where upstream did not say
  std::string description;   // what was asked for: upstream's own texts are not repeated
  std::vector<std::string> scopes;
  Bearer bearer;
};

// What upstream was asked, and how that went: for the audit record.
struct UpstreamExchange {
  int http_status = 0;  // 0: no answer
  std::optional<std::int64_t> error_code = std::nullopt;
  std::chrono::microseconds latency{0};
  std::uint64_t key_generation = 0;
};

// A token exists and this is it.
struct Minted {
  std::shared_ptr<const Token> token;
};

// No token was created.
struct Refused {
  Failure failure;
};

// A token may exist.
struct Indeterminate {
  Failure failure;
  // What the answer carried, where it carried a bearer and was rejected all the same.
  std::shared_ptr<const Token> withheld;
};

struct MintOutcome {
  std::variant<Minted, Refused, Indeterminate> result;
  UpstreamExchange exchange;
};

}  // namespace tokend
