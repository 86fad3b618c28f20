#pragma once

#include <array>
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
#include "daemon/base/result.h"
#include "daemon/base/token_request.h"
#include "daemon/state/charges.h"

namespace tokend::state {

// SHA-256 over everything that makes two calls with one request_id the same call.
using RequestDigest = std::array<unsigned char, 32>;

RequestDigest DigestOf(std::string_view caller, std::string_view organization, std::string_view application,
                       const std::vector<std::string>& scopes, std::string_view description);

// The request_id is the claimant's, and its charges are spent: it must Settle, Refuse or Abandon it.
struct Fresh {
  Spent spent = {};
};

// The request_id's token exists, and this is it.
struct Answered {
  std::shared_ptr<const Token> token;
  std::uint64_t intent = 0;  // sequence number of its token.intended
};

// A Failure is what the call ends in: REQUEST_ID_REUSED, OVERLOADED, RATE_LIMITED, LIMITS_UNAVAILABLE, the
// unknown outcome of the first call, or the refusal that the call it joined has ended in.
using Claim = std::variant<Fresh, Answered, Failure>;

// What came of a request_id that was claimed: its token, or that one may exist.
using Outcome = std::variant<Answered, Failure>;

// What a call asks to be let in with.
struct Admission {
  std::string request_id;
  RequestDigest digest;
  std::string caller;
  RequestIdOrigin request_id_origin = RequestIdOrigin::kCaller;
  Charges charges;     // may be empty: then nothing is spent
  TimePoint latest{};  // its turn at the organization's limits must have come by then
};

// Which request_ids have had, or are having, their one token, and how much of each limit is spent. Known are
// request_ids that still run and those whose outcome is that a token was or may have been created; an outcome
// is forgotten, and its bearer wiped, once `requests.remember` has passed since its intent. Loop thread only.
class State {
 public:
  using AdmitDone = absl::AnyInvocable<void(Claim)>;
  // A Failure is RATE_LIMITED, OVERLOADED or LIMITS_UNAVAILABLE.
  using SpendDone = absl::AnyInvocable<void(SpendResult)>;
  using CheckDone = absl::AnyInvocable<void(std::optional<Failure>)>;
  using LevelsDone = absl::AnyInvocable<void(Result<std::vector<TimePoint>>)>;

  virtual ~State() = default;

  // Claims a request_id, and spends what it costs; where one fails, neither is done. `done` is called exactly
  // once, maybe before this returns, unless `waiter` leaves first: where a call with the same id and digest
  // runs, when that one has ended (it is joined); where the organization's limits alone are spent, when its
  // fair turn has come or can no longer come by `latest`. `waiter` tells calls apart, and is not looked at. A
  // destroyed State calls nobody.
  virtual void Admit(Admission admission, const void* waiter, AdmitDone done) = 0;

  // Spends again, for another attempt of a call that was admitted. As Admit does, with the claim left alone.
  virtual void Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) = 0;

  // Who waits in Admit or Spend no longer does: its `done` is destroyed uncalled, and the claim, where it
  // holds it, abandoned.
  virtual void Leave(const std::string& request_id, const void* waiter) = 0;

  // What was spent was not used: no intent came of it. What has grown back since is not given back.
  virtual void GiveBack(const Charges& charges, Spent spent) = 0;

  // What Spend would refuse these with at once.
  virtual void Check(Charges charges, TimePoint latest, CheckDone done) = 0;

  // When the bucket of each charge will be full again: at its beginning or in the past, where it is.
  virtual void Levels(std::vector<Charge> charges, LevelsDone done) = 0;

  // A token was or may have been created: ends the claim and answers who joined.
  virtual void Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) = 0;

  // No token was created: the request_id may try again, and who joined fails likewise.
  virtual void Refuse(const std::string& request_id, const Failure& failure) = 0;

  // What was settled as unknown is known now: a token, or none, and then the request_id may try again.
  // Ignored where the outcome was forgotten meanwhile.
  virtual void Amend(const std::string& request_id, std::optional<Answered> answered,
                     TimePoint intended_at) = 0;

  // The claimant left before anything was sent: one that joined takes its place.
  virtual void Abandon(const std::string& request_id) = 0;

  // A request_id that an earlier run of the daemon had intended. Before the first call.
  virtual void Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                       TimePoint intended_at) = 0;

  // Whether requests can be admitted, for readiness. Any thread.
  virtual Status health() const = 0;
};

}  // namespace tokend::state
