#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/caller.h"
#include "daemon/base/failure.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/base/receipts.h"
#include "daemon/base/token_request.h"
#include "daemon/config/config.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/policy/policy.h"

namespace tokend::issue {

// A token, and the proof that its record is durable.
struct Released {
  IssuedReceipt receipt;
  std::shared_ptr<const Token> token;
  enum class Kind { kIssued, kReplayed } kind = Kind::kIssued;
};

// The answer to validate_only: the token that would have been created, without id and bearer.
struct Validated {
  std::shared_ptr<const Token> token;
  std::uint64_t audit_sequence = 0;
};

// The caller cancelled, or its deadline passed. rpc/ knows which of the two it was.
struct Abandoned {};

using Reply = std::variant<Released, Validated, Failure, Abandoned>;

// Called exactly once for each request, on any thread.
using ReplyCallback = absl::AnyInvocable<void(Reply)>;

// A request that runs, as its caller's side of it. Any thread.
class Call {
 public:
  virtual ~Call() = default;

  // The caller has cancelled, or its deadline has passed. A request whose intent is not yet handed to the
  // audit log ends; a later one runs to its recorded end.
  virtual void Cancel() = 0;
};

// What a caller has left of one of its limits.
struct LimitLevel {
  const config::Limit* limit;
  std::int64_t remaining = 0;               // requests that would be admitted now
  std::chrono::nanoseconds retry_after{0};  // until one is admitted; zero while `remaining` is not
};

// The first grants of a caller (policy::CallerGrants), and what is left of their limits.
struct Entitlement {
  std::shared_ptr<const ConfigSnapshot> config;  // owns the grants
  struct Grant {
    policy::CallerGrant grant;
    std::vector<LimitLevel> limits;  // of Grant::limits, in order
  };
  std::vector<Grant> grants;
  bool more_grants = false;  // further grants name the caller
};

// Called exactly once, on any thread. A Failure is LIMITS_UNAVAILABLE or RATE_LIMITED.
using EntitlementCallback = absl::AnyInvocable<void(std::variant<Entitlement, Failure>)>;

// Takes requests from rpc/ and runs each to its recorded end. Any thread.
class Issuer {
 public:
  virtual ~Issuer() = default;

  // Asks the policy on the calling thread, then hands the request to the loop. Never blocks. `reply` may be
  // called before this returns. `deadline`: when the caller stops waiting; rpc/ then has to call Cancel.
  virtual std::shared_ptr<Call> Create(Caller caller, TokenRequest request,
                                       std::chrono::steady_clock::time_point deadline,
                                       ReplyCallback reply) = 0;

  // Says which grants name this caller, and what is left of their limits. Never blocks.
  virtual void Show(const Caller& caller, EntitlementCallback shown) = 0;

  // Records a call that ended before it became a request: its caller is unknown (null) or its form is wrong,
  // or the daemon is overloaded or draining. `on_behalf_of`, `request_id` and `trace` may be empty. The
  // record holds none of the request's own texts.
  virtual void Refuse(const Caller* caller, std::string_view on_behalf_of, std::string_view listener,
                      std::string_view peer, std::string_view request_id, std::string_view trace,
                      const Failure& failure) = 0;
};

}  // namespace tokend::issue
