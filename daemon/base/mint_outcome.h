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

// What is known of the central tokend to which a relay has passed a request on, however the request ends.
enum class Centre {
  kByOutcome,  // the outcome says it, as it does where the upstream is Applivery
  kWorks,      // it has answered, be it with an error
  kRejects,    // it does not accept the relay's credentials
  kUnheard,    // it had no time to answer
};

// The last request to the upstream and its answer, for the audit record.
struct UpstreamExchange {
  int http_status = 0;  // 0: there was no answer
  std::optional<std::int64_t> error_code = std::nullopt;
  std::chrono::microseconds latency{0};
  std::uint64_t key_generation = 0;  // of a relay: of its own credentials
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
