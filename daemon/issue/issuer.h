#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "daemon/base/caller.h"
#include "daemon/base/failure.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/base/receipts.h"
#include "daemon/base/token_request.h"

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

// Takes requests from the edge and sees each to its recorded end. Any thread.
class Issuer {
 public:
  virtual ~Issuer() = default;

  // Decides by policy on the calling thread, then hands the request to the loop. Never blocks. `reply` may
  // be called before this returns.
  virtual std::shared_ptr<Call> Create(Caller caller, TokenRequest request, ReplyCallback reply) = 0;

  // Records a call that ended before it became a request: no caller (null), a bad form, overload, draining.
  // `request_id` may be empty. The request's own texts stay out of the record.
  virtual void Refuse(const Caller* caller, std::string_view listener, std::string_view peer,
                      std::string_view request_id, const Failure& failure) = 0;
};

}  // namespace tokend::issue
