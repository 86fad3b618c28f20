#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/failure.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/base/receipts.h"
#include "daemon/upstream/api_key.h"

namespace tokend::upstream {

// The request for one token, with all defaults filled in. Applivery gets only the first four fields. A
// central tokend gets the others too.
struct MintRequest {
  std::string organization;
  std::string application;
  std::string description;
  std::vector<std::string> scopes;
  std::string request_id = {};                          // the same for each attempt of one request
  std::chrono::steady_clock::time_point deadline = {};  // when the caller stops waiting
  bool is_probe = false;                                // of a circuit breaker: needs a new connection
  std::string caller = {};                              // the caller's name
  std::string digest = {};                              // of what the caller sent, as in the audit log
  // When the first intent of this request_id was recorded.
  std::chrono::steady_clock::time_point first_intended_at = {};
  std::string traceparent = {};  // the header of the caller's call; empty: none
  // An earlier intent of this request_id may have led to a token, and it is not known whether it did.
  bool asked_before = false;
};

// The service that creates tokens: Applivery, or a central tokend. Loop thread only.
class Upstream {
 public:
  // Gets the receipt back, which the outcome's record needs.
  using Done = absl::AnyInvocable<void(IntentReceipt, MintOutcome)>;

  // How one request to the upstream was answered.
  struct Answered {
    std::optional<int> status;  // its HTTP or gRPC status; nothing: no answer came
    std::chrono::nanoseconds latency{0};
    std::string error = {};  // why no answer came, in fixed words
  };
  // Called for each request to the upstream when its answer has come or is no longer expected. Loop thread.
  using OnAnswer = std::function<void(const Answered& answer)>;

  // The token that would be created, without id and bearer; null: the upstream cannot say. Or the failure
  // that the request would get.
  using Validation = std::variant<std::shared_ptr<const Token>, Failure>;
  using ValidateDone = absl::AnyInvocable<void(Validation)>;

  virtual ~Upstream() = default;

  // Asks for at most one token, ever, for this receipt. Calls `done` exactly once, on the loop thread and
  // never from within Mint.
  virtual void Mint(IntentReceipt receipt, const MintRequest& request, Done done) = 0;

  // Asks whether the request would be refused, and creates nothing. Calls `done` exactly once, on the loop
  // thread, maybe before it returns.
  virtual void Validate(const MintRequest& /*request*/, ValidateDone done) { done(Validation()); }

  // True: Mint itself asks again where that can help. False: issue/ makes further attempts.
  virtual bool retries() const { return false; }

  // As long as the result is held, requests for the organization can be sent, even if a reload removes the
  // organization. Null if the configuration does not have it.
  virtual std::shared_ptr<const void> Hold(const std::string& organization) = 0;

  // Later requests carry these keys. A request that is sent keeps its key, and so does an organization that
  // is not among them, as long as it is held.
  virtual void UseKeys(const KeyRing& keys) = 0;

  // Counts the changes of the credentials that all requests carry. 0: each organization has its own key.
  virtual std::uint64_t credentials_generation() const { return 0; }

  // Ends the requests that still run: calls the `done` of each before it returns.
  virtual void Stop() = 0;
};

}  // namespace tokend::upstream
