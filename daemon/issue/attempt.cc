#include "daemon/issue/attempt.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>
#include <variant>

#include "daemon/base/failpoint.h"
#include "daemon/issue/issuance.h"
#include "daemon/issue/records.h"

namespace tokend::issue {

void Attempt::Start() {
  slot_ = stages_.pacing.slots.Acquire({context_.request.organization(), context_.caller.name()},
                                       context_.config->slots, [self = Self()] { self->OnTurn(); });
  if (slot_.held()) return OnTurn();
  const auto patience = context_.LatestTurn(stages_.pacing.latency) - stages_.loop.clock().Now();
  overdue_ = Timer(stages_.loop, patience, [self = Self()] { self->request_.OnSlotOverdue(); });
}

void Attempt::OnTurn() {
  overdue_.Cancel();
  auto entered = stages_.availability.Enter(
      {context_.request.organization(), context_.request.application(), context_.caller.name()});
  if (const auto* blocked = std::get_if<Failure>(&entered)) {
    slot_.Drop();
    spent_.GiveBack();
    Become(Stage::kEnded);
    return request_.Fail(*blocked);
  }
  permit_ = std::get<upstream::Availability::Permit>(std::move(entered));
  Intend();
}

void Attempt::Intend() {
  if (number_ > 1) stages_.metrics.Retried();
  Become(Stage::kIntending);
  intended_at_ = stages_.loop.clock().Now();
  spent_.Keep();
  request_.OnIntending(intended_at_);
  overdue_ =
      Timer(stages_.loop, context_.config->audit_deadline, [self = Self()] { self->OnIntentOverdue(); });
  audit::Record record = NewRecord();
  record.set_digest(state::ToText(context_.digest));
  stages_.audit.AppendIntent(std::move(record), [self = Self()](Result<IntentReceipt> intent) {
    self->OnIntentDurable(std::move(intent));
  });
  TOKEND_FAILPOINT("intent.handed", "");
}

void Attempt::OnIntentOverdue() {
  overdue_.Cancel();
  Become(Stage::kUnsent);
  permit_ = {};
  request_.OnIntentOverdue(AuditUnavailable("the intent's record could not be made durable in time"));
  slot_.Drop();
}

void Attempt::OnIntentDurable(Result<IntentReceipt> intent) {
  overdue_.Cancel();
  if (!intent.ok()) {
    if (stage_ == Stage::kIntending) OnIntentOverdue();
    spent_.GiveBack();
    Become(Stage::kEnded);
    return request_.OnOver(number_ > 1 ? std::optional(TokenOutcome::kRefused) : std::nullopt);
  }
  if (stage_ == Stage::kUnsent) return RecordUnsent(*std::move(intent));
  TOKEND_FAILPOINT("intent.durable", "");
  Mint(*std::move(intent));
}

void Attempt::RecordUnsent(IntentReceipt intent) {
  audit::Record record = NewRecord();
  Describe(AuditUnavailable("the intent became durable only after the call had failed; nothing was sent"),
           record);
  record.set_event(EventOf(TokenOutcome::kRefused));
  stages_.audit.AppendEnd(
      std::move(intent), std::move(record), nullptr, [self = Self()](const Result<std::uint64_t>& sequence) {
        self->Become(Stage::kEnded);
        self->request_.OnOver(sequence.ok() ? std::optional(TokenOutcome::kRefused) : std::nullopt);
      });
}

void Attempt::Mint(IntentReceipt intent) {
  Become(Stage::kMinting);
  intent_ = intent.sequence();
  upstream::MintRequest request = context_.ToMint(intended_at_);
  request.is_probe = permit_.is_probe();
  stages_.upstream.Mint(std::move(intent), request,
                        [self = Self()](IntentReceipt receipt, MintOutcome outcome) {
                          self->OnMinted(std::move(receipt), std::move(outcome));
                        });
  TOKEND_FAILPOINT("post.handed", "");
}

void Attempt::OnMinted(IntentReceipt intent, MintOutcome outcome) {
  TOKEND_FAILPOINT("answered", "");
  assert(intent.sequence() == intent_);
  Become(Stage::kRecording);
  stages_.pacing.latency.Add(stages_.loop.clock().Now() - intended_at_);
  stages_.availability.Report(std::move(permit_), outcome);
  overdue_ =
      Timer(stages_.loop, context_.config->audit_deadline, [self = Self()] { self->OnOutcomeOverdue(); });
  RecordOutcome(std::move(intent), std::move(outcome));
  TOKEND_FAILPOINT("outcome.handed", "");
  slot_.Drop();
}

void Attempt::RecordOutcome(IntentReceipt intent, MintOutcome outcome) {
  audit::Record record = NewRecord();
  Describe(outcome.exchange, record);
  if (auto* minted = std::get_if<Minted>(&outcome.result)) {
    token_ = std::move(minted->token);
    outcome_ = TokenOutcome::kIssued;
    if (context_.caller_left && context_.request.request_id_origin() == RequestIdOrigin::kDaemon) {
      record.set_detail("the caller left, and only it could have learned the request_id");
      outcome_ = TokenOutcome::kWithheld;
    }
  } else if (auto* refused = std::get_if<Refused>(&outcome.result)) {
    failure_ = std::move(refused->failure);
    Describe(failure_, record);
    outcome_ = TokenOutcome::kRefused;
  } else {
    auto& unclear = std::get<Indeterminate>(outcome.result);
    failure_ = std::move(unclear.failure);
    Describe(failure_, record);
    token_ = std::move(unclear.withheld);
    outcome_ = token_ ? TokenOutcome::kWithheld : TokenOutcome::kUnknown;
  }
  record.set_event(EventOf(outcome_));

  if (outcome_ == TokenOutcome::kIssued) {
    return stages_.audit.AppendIssued(
        std::move(intent), std::move(record), *token_,
        [self = Self()](Result<IssuedReceipt> issued) { self->OnIssuedDurable(std::move(issued)); });
  }
  stages_.audit.AppendEnd(
      std::move(intent), std::move(record), token_.get(),
      [self = Self()](Result<std::uint64_t> sequence) { self->OnEndDurable(std::move(sequence)); });
}

void Attempt::OnOutcomeOverdue() {
  request_.OnOutcomeOverdue({.reason = Reason::kOutcomeUnknown,
                             .detail = "the outcome's record could not be made durable in time",
                             .audit_sequence = intent_},
                            intent_);
}

void Attempt::OnIssuedDurable(Result<IssuedReceipt> issued) {
  overdue_.Cancel();
  if (!issued.ok()) return OnOutcomeLost();
  TOKEND_FAILPOINT("outcome.durable", "");
  Become(Stage::kEnded);
  request_.OnIssued(*std::move(issued), token_, intent_);
  TOKEND_FAILPOINT("released", "");
}

void Attempt::OnEndDurable(Result<std::uint64_t> sequence) {
  overdue_.Cancel();
  if (!sequence.ok()) return OnOutcomeLost();
  Become(Stage::kEnded);
  failure_.audit_sequence = *sequence;
  if (outcome_ == TokenOutcome::kRefused) return request_.OnRefused(std::move(failure_));
  request_.OnUnknown(std::move(failure_), outcome_, intent_);
}

// The log has stopped before the record was durable.
void Attempt::OnOutcomeLost() {
  OnOutcomeOverdue();
  Become(Stage::kEnded);
  request_.OnOver(std::nullopt);
}

// A record of an intent, or of an intent's end.
audit::Record Attempt::NewRecord() const {
  audit::Record record = RecordOf(context_);
  if (context_.first_intent) record.set_resolves(context_.first_intent->sequence);
  return record;
}

void Attempt::Become(Stage next) {
  using enum Stage;
  [[maybe_unused]] static constexpr std::pair<Stage, Stage> kLegal[] = {
      {kQueued, kIntending}, {kQueued, kEnded},      {kIntending, kMinting}, {kIntending, kUnsent},
      {kUnsent, kEnded},     {kMinting, kRecording}, {kRecording, kEnded},
  };
  assert(std::ranges::count(kLegal, std::pair(stage_, next)) == 1);
  stage_ = next;
}

// Keeps the request alive, and with it the attempt.
std::shared_ptr<Attempt> Attempt::Self() { return {request_.shared_from_this(), this}; }

}  // namespace tokend::issue
