#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/failure.h"
#include "daemon/base/mint_outcome.h"

namespace tokend::state {

// SHA-256 over everything that makes two calls with one request_id the same call.
using RequestDigest = std::array<unsigned char, 32>;

RequestDigest DigestOf(std::string_view caller, std::string_view organization, std::string_view application,
                       const std::vector<std::string>& scopes, std::string_view description);

// The request_id is the claimant's: it must Settle or Release it.
struct Fresh {};

// The request_id's token exists, and this is it.
struct Answered {
  std::shared_ptr<const Token> token;
  std::uint64_t intent = 0;  // sequence number of its token.intended
};

// A Failure is what the call ends in: REQUEST_ID_REUSED, OVERLOADED, the unknown outcome of the first call,
// or the refusal that the call it joined has ended in.
using Claim = std::variant<Fresh, Answered, Failure>;

// Which request_ids have had, or are having, their one token. Known are those that still run and those whose
// outcome is that a token was or may have been created; an outcome is forgotten, and its bearer wiped, once
// `requests.remember` has passed since its intent. Loop thread only.
class RequestLedger {
 public:
  using ClaimDone = absl::AnyInvocable<void(Claim)>;
  using Outcome = std::variant<Answered, Failure>;
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~RequestLedger() = default;

  // Asks for a request_id. `done` is called exactly once: at once, or, where a call with the same id and
  // digest runs, when that one has ended (it is joined), unless it leaves first. `joiner` tells those that
  // joined apart, and is not looked at. A destroyed ledger calls nobody.
  virtual void ClaimRequest(const std::string& request_id, const RequestDigest& digest, const void* joiner,
                            ClaimDone done) = 0;

  // Who joined no longer waits: its `done` is destroyed uncalled.
  virtual void Leave(const std::string& request_id, const void* joiner) = 0;

  // A token was or may have been created: ends the claim and answers who joined.
  virtual void Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) = 0;

  // No token was created: the request_id may try again, and who joined fails likewise.
  virtual void Refuse(const std::string& request_id, const Failure& failure) = 0;

  // What was settled as unknown is known now: a token, or none, and then the request_id may try again.
  // Ignored where the outcome was forgotten meanwhile.
  virtual void Amend(const std::string& request_id, std::optional<Answered> answered,
                     TimePoint intended_at) = 0;

  // The claimant left before anything was sent: the first that joined takes its place.
  virtual void Abandon(const std::string& request_id) = 0;

  // A request_id that an earlier run of the daemon had intended. Before the first claim.
  virtual void Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                       TimePoint intended_at) = 0;
};

}  // namespace tokend::state
