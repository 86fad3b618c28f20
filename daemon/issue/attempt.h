#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "daemon/base/mint_outcome.h"
#include "daemon/base/receipts.h"
#include "daemon/base/token_outcome.h"
#include "daemon/issue/request_context.h"
#include "daemon/issue/stages.h"
#include "daemon/issue/state_handles.h"
#include "daemon/issue/timer.h"

namespace tokend::issue {

class Issuance;

// One try of a request to get its token: it waits for an upstream slot, records an intent, sends one POST,
// and records the outcome. It owns the spent charges, the slot and the permit. It tells its request what
// comes of it; the request is alive until it ends, and may then destroy it. Loop thread only.
class Attempt {
 public:
  // `number`: 1 for the request's first attempt. `request` owns this.
  Attempt(const Stages& stages, const RequestContext& context, Issuance& request, SpentCharges spent,
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
  void RecordOutcome(IntentReceipt intent, MintOutcome outcome);
  void OnOutcomeOverdue();
  void OnIssuedDurable(Result<IssuedReceipt> issued);
  void OnEndDurable(Result<std::uint64_t> sequence);
  void OnOutcomeLost();

  audit::Record NewRecord() const;
  void Become(Stage next);
  std::shared_ptr<Attempt> Self();

  const Stages& stages_;
  const RequestContext& context_;
  Issuance& request_;
  const std::size_t number_;

  Stage stage_ = Stage::kQueued;
  // Dropped from below: the slot is free before its charges are given back.
  SpentCharges spent_;
  UpstreamSlots::Slot slot_;
  upstream::Availability::Permit permit_;
  Timer overdue_;  // of what it waits for

  state::TimePoint intended_at_;
  std::uint64_t intent_ = 0;                       // sequence number of its record
  TokenOutcome outcome_ = TokenOutcome::kUnknown;  // what the answer is recorded as
  std::shared_ptr<const Token> token_;             // that the answer holds
  Failure failure_{Reason::kOutcomeUnknown};       // of a request that gets no token
};

}  // namespace tokend::issue
