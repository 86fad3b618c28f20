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

// A token that the upstream has created.
struct Token {
  std::string id;            // 24 hex digits
  std::string organization;  // 24 hex digits; empty if the upstream's answer had none
  std::string application;   // 24 hex digits; empty if the upstream's answer had none
  std::string description;   // from our request: texts of the upstream's answer are not passed on
  std::vector<std::string> scopes;
  Bearer bearer;
};

// What a relay has learned about the central tokend (the centre) by one request.
enum class Centre {
  kByOutcome,  // only what the outcome says, as with Applivery
  kWorks,      // the centre has answered, if only with an error
  kRejects,    // the centre does not accept the relay's credentials
  kUnheard,    // the centre had no time to answer
};

// The last request to the upstream and its answer, for the audit record.
struct UpstreamExchange {
  int http_status = 0;  // 0: there was no answer
  std::optional<std::int64_t> error_code = std::nullopt;
  std::chrono::microseconds latency{0};
  std::uint64_t key_generation = 0;  // at a relay: of its credentials for the central tokend
  Centre centre = Centre::kByOutcome;
};

// The upstream has created this token.
struct Minted {
  std::shared_ptr<const Token> token;
};

// The upstream has created no token.
struct Refused {
  Failure failure;
};

// It is unknown whether the upstream has created a token.
struct Indeterminate {
  Failure failure;
  // The token of an answer that had a bearer but failed another check; null if there is none.
  std::shared_ptr<const Token> withheld;
};

using MintResult = std::variant<Minted, Refused, Indeterminate>;

struct MintOutcome {
  MintResult result;
  UpstreamExchange exchange;
};

}  // namespace tokend
