#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "daemon/issue/attempt.h"
#include "daemon/issue/issuer.h"
#include "daemon/issue/live_calls.h"
#include "daemon/issue/request_context.h"
#include "daemon/issue/stages.h"
#include "daemon/issue/state_handles.h"
#include "daemon/issue/timer.h"

namespace tokend::issue {

// One request, from the policy's decision to its recorded end. It holds its claim and its place in flight,
// and makes one attempt or more. A std::shared_ptr owns it: it lives to that end even if its caller has left.
// Start and Cancel: any thread; all else: loop thread.
//
// Four verbs end something: CallOff gives back what a request holds that has sent nothing; Fail ends a
// request that has a Failure but no record of it yet; Answer answers the caller alone; End answers and is the
// last step.
class Issuance final : public Call, public LiveCall, public std::enable_shared_from_this<Issuance> {
 public:
  // `deadline`: when the caller stops waiting.
  Issuance(const Stages& stages, Caller caller, TokenRequest request, state::TimePoint deadline,
           ReplyCallback reply);

  void Start();
  void Cancel() override;
  void Stop() override;

 private:
  friend class Attempt;
  // kSpending: an admitted request waits to spend its charges. kChecking: a validation asks the limits, and
  // at a relay the central tokend. kRecording: of a replay or a validation.
  enum class Stage { kDeciding, kAdmitting, kSpending, kAttempting, kPausing, kChecking, kRecording, kEnded };

  // The way to an attempt.
  std::optional<Failure> Decide();
  bool MayBeKnown() const;
  void Admit();
  void OnAdmitted(state::AdmitResult admitted);
  void AskAgain(const state::Earlier& earlier, std::optional<SpentCharges> spent);
  void Begin(SpentCharges spent);
  void BeginUnlessBlocked();
  void Spend();
  void Try(SpentCharges spent);
  void Retry();

  // From the attempt. It ends with exactly one of OnSlotOverdue, OnIssued, OnRefused, OnUnknown, OnOver and,
  // where its turn has come and it may not be sent, Fail.

  // No slot came free in time.
  void OnSlotOverdue();
  // The intent is handed to the audit log next: from here on the attempt runs to its recorded end.
  void OnIntending(state::TimePoint intended_at);
  // The intent's record is not durable in time: nothing is sent, now or later. OnOver follows.
  void OnIntentOverdue(const Failure& failure);
  // The outcome's record is not durable in time: a token may exist. The attempt goes on, to any end.
  void OnOutcomeOverdue(const Failure& failure, std::uint64_t intent);
  // The outcome is recorded: a token, none, or one that may exist. `intent`: the sequence number of the
  // intent's record.
  void OnIssued(IssuedReceipt issued, std::shared_ptr<const Token> token, std::uint64_t intent);
  void OnRefused(Failure failure);
  void OnUnknown(Failure failure, TokenOutcome outcome, std::uint64_t intent);
  // Nothing else will be recorded after OnIntentOverdue or OnOutcomeOverdue. `outcome`: what the request
  // counts as, if it counts.
  void OnOver(std::optional<TokenOutcome> outcome);

  // Requests that make no attempt.
  void Validate();
  void ValidateUpstream();
  void RecordValidated(std::shared_ptr<const Token> token);
  void OnKnown(const state::Known& known);
  void Replay(const state::Target& first, const state::Answered& answered);

  bool CallOff();
  void Fail(const Failure& failure);
  void Answer(Reply reply);
  void End(Reply reply);

  void Note(const Failure& failure);
  void NoteRefusal(audit::Record record);
  std::optional<Failure> FindBlock();
  void AnswerIfOverdue(const char* detail);
  ClaimHandle TakeClaim() { return {stages_.state, ledger_id_, context_.first_intent}; }
  void Become(Stage next);
  std::shared_ptr<Issuance> Self() { return shared_from_this(); }

  const Stages& stages_;
  RequestContext context_;
  const std::string ledger_id_;
  ReplyCallback reply_;  // empty once called
  LiveCalls::Ticket ticket_;

  Stage stage_ = Stage::kDeciding;
  std::optional<Failure> refused_;            // on arrival: only a known request_id gets another answer
  std::optional<Failure> blocked_;            // on arrival: the request was admitted without charges
  std::shared_ptr<const void> organization_;  // so that the upstream can send for it after any reload
  std::optional<CallsInFlight::Place> in_flight_;
  StateWait wait_;
  ClaimHandle claim_;
  std::unique_ptr<Attempt> attempt_;
  std::size_t refused_attempts_ = 0;
  Timer timer_;  // of a pause before a retry, or of a record that is waited for
};

}  // namespace tokend::issue
