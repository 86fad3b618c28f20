#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>

#include "daemon/base/mint_outcome.h"
#include "daemon/base/receipts.h"
#include "daemon/base/token_outcome.h"
#include "daemon/issue/request_context.h"
#include "daemon/issue/stages.h"
#include "daemon/issue/state_handles.h"
#include "daemon/issue/timer.h"

namespace tokend::issue {

// One try of a request to get its token: it waits for an upstream slot, records an intent, sends one POST,
// and records the outcome. It owns the spent charges, the slot and the permit. Loop thread only.
class Attempt {
 public:
  // The request. An attempt ends with exactly one of OnNotSent, OnSlotOverdue, OnIssued, OnRefused, OnUnknown
  // and OnOver, and calls nothing of its request after that. The request is alive until then, and may then
  // destroy the attempt.
  class Request : public std::enable_shared_from_this<Request> {
   public:
    virtual ~Request() = default;

    // No slot came free in time.
    virtual void OnSlotOverdue() = 0;

    // Its turn has come, and it may not be sent. Nothing was recorded.
    virtual void OnNotSent(const Failure& failure) = 0;

    // The intent is handed to the audit log next: from here on the attempt runs to its recorded end.
    virtual void OnIntending(state::TimePoint intended_at) = 0;

    // The intent's record is not durable in time: nothing is sent, now or later. OnOver follows.
    virtual void OnIntentOverdue(const Failure& failure) = 0;

    // The outcome's record is not durable in time: a token may exist. The attempt goes on, to any end.
    virtual void OnOutcomeOverdue(const Failure& failure) = 0;

    // The outcome is recorded: a token, none, or one that may exist. `intent`: the sequence number of the
    // intent's record.
    virtual void OnIssued(IssuedReceipt issued, std::shared_ptr<const Token> token, std::uint64_t intent) = 0;
    virtual void OnRefused(Failure failure) = 0;
    virtual void OnUnknown(const Failure& failure, TokenOutcome outcome) = 0;

    // Nothing else will be recorded after OnIntentOverdue or OnOutcomeOverdue. `outcome`: what the request
    // counts as, if it counts.
    virtual void OnOver(std::optional<TokenOutcome> outcome) = 0;
  };

  // `number`: 1 for the request's first attempt. `request` owns this.
  Attempt(const Stages& stages, const RequestContext& context, Request& request, SpentCharges spent,
          std::size_t number)
      : stages_(stages), context_(context), request_(request), number_(number), spent_(std::move(spent)) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Takes a slot, or waits for one. May end the attempt before it returns.
  void Start();

  // Whether nothing is recorded or sent yet. Destroying the attempt then calls it off.
  bool can_be_called_off() const { return stage_ == Stage::kQueued; }

 private:
  // kUnsent: the intent's record was overdue, and may still become durable.
  enum class Stage { kQueued, kIntending, kUnsent, kMinting, kRecording, kEnded };

  void OnTurn();
  void Intend();
  void OnIntentOverdue();
  void OnIntentDurable(Result<IntentReceipt> intent);
  void RecordUnsent(IntentReceipt intent);
  void Mint(IntentReceipt intent);
  void OnMinted(IntentReceipt intent, MintOutcome outcome);
  void RecordOutcome(IntentReceipt intent, audit::Record record);
  void OnOutcomeOverdue();
  void OnIssuedDurable(Result<IssuedReceipt> issued);
  void OnEndDurable(Result<std::uint64_t> sequence);
  void OnOutcomeLost();

  static bool IsLegal(Stage from, Stage to);
  void Become(Stage next);
  std::shared_ptr<Attempt> Self();

  const Stages& stages_;
  const RequestContext& context_;
  Request& request_;
  const std::size_t number_;

  Stage stage_ = Stage::kQueued;
  // Dropped from below: the slot is free before its charges are given back.
  SpentCharges spent_;
  UpstreamSlots::Slot slot_;
  std::optional<upstream::Availability::Permit> permit_;
  Timer overdue_;  // of what it waits for

  state::TimePoint intended_at_;
  std::uint64_t intent_ = 0;                             // sequence number of its record
  std::variant<Minted, Refused, Indeterminate> result_;  // of the POST
  TokenOutcome outcome_ = TokenOutcome::kUnknown;        // what the result is recorded as
};

}  // namespace tokend::issue
