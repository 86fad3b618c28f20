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

// What validate_only answers: what would have been minted, without id and bearer.
struct Validated {
  std::shared_ptr<const Token> token;
  std::uint64_t audit_sequence = 0;
};

// The caller's deadline passed or it cancelled: whichever it was is for rpc/ to say.
struct Abandoned {};

using Reply = std::variant<Released, Validated, Failure, Abandoned>;

// Called exactly once for each request, on any thread.
using ReplyCallback = absl::AnyInvocable<void(Reply)>;

// A call under way, for its caller to give up on. Any thread.
class Call {
 public:
  virtual ~Call() = default;

  // The caller is gone or its time is up. Before the intent is handed to the audit log the request ends
  // here; after that it runs to its recorded end.
  virtual void Cancel() = 0;
};

// How much a caller has left of one of its limits.
struct LimitLevel {
  const config::Limit* limit;
  std::int64_t remaining = 0;               // that would be granted now
  std::chrono::nanoseconds retry_after{0};  // until one would be; zero while there is one
};

// What a caller may do, and how much of it is left.
struct Entitlement {
  std::shared_ptr<const ConfigSnapshot> config;  // that the grants are of
  struct Grant {
    policy::CallerGrant grant;
    std::vector<LimitLevel> limits;  // those of each caller, in order
  };
  std::vector<Grant> grants;
};

// Called exactly once, on any thread. A Failure: LIMITS_UNAVAILABLE.
using EntitlementCallback = absl::AnyInvocable<void(std::variant<Entitlement, Failure>)>;

// Takes requests from the edge and sees each to its recorded end. Any thread.
class Issuer {
 public:
  virtual ~Issuer() = default;

  // Decides by policy on the calling thread, then hands the request to the loop. Never blocks. `reply` may
  // be called before this returns. `deadline`: when the caller stops listening; it then still has to Cancel.
  virtual std::shared_ptr<Call> Create(Caller caller, TokenRequest request,
                                       std::chrono::steady_clock::time_point deadline,
                                       ReplyCallback reply) = 0;

  // Tells what grants name this caller, and how much is left of their limits. Never blocks.
  virtual void Show(const Caller& caller, EntitlementCallback shown) = 0;

  // Records a call that ended before it became a request: no caller (null), a bad form, overload, draining.
  // `request_id` may be empty. The request's own texts stay out of the record.
  virtual void Refuse(const Caller* caller, std::string_view listener, std::string_view peer,
                      std::string_view request_id, const Failure& failure) = 0;
};

}  // namespace tokend::issue
