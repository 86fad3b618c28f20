#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
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
#include "daemon/state/charges.h"

namespace tokend::state {

// Of everything that makes two calls with one request_id the same call: what the caller sent, before
// defaults and templates. So a changed policy does not make a retry another request.
using RequestDigest = Sha256Digest;

RequestDigest DigestOf(std::string_view caller, std::string_view organization, std::string_view application,
                       const std::vector<std::string>& scopes, std::string_view description);

// A digest as the audit log holds it: its version, "1:", and 64 hex digits. Nothing for any other text,
// another version's digest included.
std::string ToText(const RequestDigest& digest);
std::optional<RequestDigest> ParseDigest(std::string_view text);

// The name of a caller's request_id in the state. Everything that is called `request_id` in State and its
// homes is such a name: request_ids of different callers have nothing to do with each other, and a relay's
// request_ids are divided by its own callers. The name has no blanks, and holds digests of the callers' names
// instead of the names. `on_behalf_of`: the relay's own caller; empty: the caller is no relay.
std::string LedgerId(std::string_view caller, std::string_view on_behalf_of, std::string_view request_id);

// The part of such a name before the request_id.
std::string LedgerPrefix(std::string_view caller, std::string_view on_behalf_of);

// The part of such a name that stands for the caller.
std::string_view OwnerOf(std::string_view ledger_id);

// What the first call with a request_id asked for, with all defaults filled in.
struct Target {
  std::string organization;
  std::string application;
  std::vector<std::string> scopes;
  std::string description = {};  // only MemoryState keeps it

  bool operator==(const Target&) const = default;
};

// The record token.intended: its time, and its sequence number in the audit log.
struct Intent {
  // Only a relay needs the sequence number. 0: not known.
  Intent(TimePoint its_time = {}, std::uint64_t its_sequence = 0)  // NOLINT(google-explicit-constructor)
      : at(its_time), sequence(its_sequence) {}
  TimePoint at;
  std::uint64_t sequence;
};

// What is known of the first call, when a later call asks again with its request_id.
struct Earlier {
  Target first;
  Intent intent;
};

// The call has claimed the request_id and spent its charges. It ends the claim by Settle, Refuse or Abandon.
struct Fresh {
  Spent spent = {};
  std::optional<Earlier> earlier = {};  // only at a relay
};

// The request_id has had its token, and this is it.
struct Answered {
  std::shared_ptr<const Token> token;
  std::uint64_t intent = 0;  // sequence number of its token.intended
  bool joined = false;       // the call came while the one that got the token ran
};

// How a claimed request_id ended: with its token, or with a Failure after which a token may exist.
using Outcome = std::variant<Answered, Failure>;

// The request_id is known: what its first call asked for, and how that ended.
struct Known {
  Target first;
  Outcome outcome;
};

// What Admit came to. A Failure ends the call: REQUEST_ID_REUSED, OVERLOADED, RATE_LIMITED,
// LIMITS_UNAVAILABLE, or the refusal of the call that it joined.
using AdmitResult = std::variant<Fresh, Known, Failure>;

// The same for a call that had joined the one that got the token.
AdmitResult ResultOfJoined(AdmitResult result);

// Refusals that both homes give. `retry_after`: until the first request_id is forgotten, if that is known;
// until the quarantine ends.
Failure RequestIdReused();
Failure LedgerFull(std::optional<std::chrono::milliseconds> retry_after);
Failure Quarantined(std::chrono::milliseconds retry_after);
// For a request_id that may have been used so long ago that the ledger would have forgotten it.
Failure TooOld(std::chrono::milliseconds remember);

// The outcome of a request whose token may have been created before a restart. `ended_by`: sequence number of
// the record that ended it.
Failure BearerLost(std::uint64_t ended_by);

// What a call brings to be admitted.
struct Admission {
  std::string request_id = {};
  RequestDigest digest = {};
  Target target = {};
  std::string caller = {};
  // The request_id was used for the first time at most this long ago. 0: never before. Nothing: nobody knows.
  std::optional<std::chrono::nanoseconds> age = {};
  bool one_caller = false;  // this is the only caller: it may have all of requests.max_entries
  Charges charges = {};     // empty: nothing is spent
  TimePoint latest{};       // until when it can wait for its turn at the organization's limits
};

// The ledger of request_ids and the limits. The ledger knows each request_id that runs, and each whose token
// was or may have been created, until `requests.remember` has passed since its intent: then the outcome is
// forgotten and its bearer wiped. Loop thread only.
//
// The upstream of a relay knows request_ids too. So at a relay the next call with a request_id whose outcome
// is unknown claims it again. If that call brings a token, the token is the outcome; after any other end the
// outcome is unknown as before. `requests.remember` counts from the first intent.
class State {
 public:
  using AdmitDone = absl::AnyInvocable<void(AdmitResult)>;
  // A Failure is RATE_LIMITED, OVERLOADED or LIMITS_UNAVAILABLE.
  using SpendDone = absl::AnyInvocable<void(SpendResult)>;
  using CheckDone = absl::AnyInvocable<void(std::optional<Failure>)>;
  using LevelsDone = absl::AnyInvocable<void(Result<std::vector<TimePoint>>)>;

  virtual ~State() = default;

  // Claims a request_id and spends its charges: both or neither. Calls `done` exactly once, maybe before it
  // returns, unless `waiter` leaves first. It waits in two cases: another call with the same request_id and
  // digest runs, which this one joins and whose end it shares; or only the organization's limits are used up,
  // and the call queues for its turn until `latest`. `waiter` identifies the call, and is not dereferenced. A
  // State that is destroyed calls nobody.
  virtual void Admit(Admission admission, const void* waiter, AdmitDone done) = 0;

  // Spends charges for another attempt of an admitted call. Waits as Admit does; the claim stays as it is.
  virtual void Spend(Charges charges, TimePoint latest, const void* waiter, SpendDone done) = 0;

  // A call that waits in Admit or Spend stops waiting: its `done` is destroyed uncalled, and its claim, if it
  // has one, is abandoned.
  virtual void Leave(const std::string& request_id, const void* waiter) = 0;

  // Gives back charges that were spent but not used, less what has grown back since.
  virtual void GiveBack(const Charges& charges, Spent spent) = 0;

  // Tells how Spend would refuse these charges at once; nothing if it would not.
  virtual void Check(Charges charges, TimePoint latest, CheckDone done) = 0;

  // Tells when the bucket of each charge will be full again. The time of a full bucket is in the past.
  virtual void Levels(std::vector<Charge> charges, LevelsDone done) = 0;

  // Ends the claim of a call whose token was or may have been created. Calls that joined get the outcome.
  // `intent`: the request_id's first one.
  virtual void Settle(const std::string& request_id, Outcome outcome, Intent intent) = 0;

  // Ends the claim of a call for which no token was created: the request_id may be used again. Calls that
  // joined get the failure.
  virtual void Refuse(const std::string& request_id, const Failure& failure) = 0;

  // Replaces an unknown outcome by a token or, without one, forgets it, so that the request_id may be used
  // again. Does nothing if the outcome of this intent is forgotten already, or if there is no token and
  // another call has asked again.
  virtual void Amend(const std::string& request_id, std::optional<Answered> answered, Intent intent) = 0;

  // Ends the claim of a call that left before anything was sent: a call that joined takes its place.
  virtual void Abandon(const std::string& request_id) = 0;

  // Adds a request_id that an earlier run of the daemon intended, with BearerLost(ended_by) as its outcome.
  // Records of earlier versions have no digest: then every call with this request_id gets that outcome,
  // whatever the call asks for. Restore is called before the first request comes.
  virtual void Restore(const std::string& request_id, const std::optional<RequestDigest>& digest,
                       Target target, std::uint64_t ended_by, Intent intent) = 0;

  // Whether requests can be admitted. Any thread.
  virtual Status health() const = 0;

  // OK, or why a quarantine lasts, and for how long (state/quarantine.h). Any thread.
  virtual Status quarantine() const = 0;

  // Troubles besides, each in one line. Any thread.
  virtual std::vector<std::string> Troubles() const { return {}; }
};

// Hears of the state's size, its queues and its reach, for metrics and the log. Each may be empty. Loop
// thread.
struct Observer {
  std::function<void(std::size_t entries)> on_entries = {};  // how many request_ids are known
  std::function<void(const std::string& organization, std::size_t waiting)> on_queue = {};
  std::function<void(std::chrono::nanoseconds waited)> on_turn = {};  // a call that waited got its turn
  // What is left of a quarantine: as it begins, about once a second, and 0 at its end. `why`: what is lost.
  std::function<void(std::chrono::seconds left, const std::string& why)> on_quarantine = {};
  // Redis has come within reach, or out of it, and why. Called at each change.
  std::function<void(const Status& reach)> on_reach = {};
  // The settings in which another replica on the same Redis differs; none any more. Called at each change.
  std::function<void(const std::vector<std::string>& settings)> on_differences = {};
};

}  // namespace tokend::state
