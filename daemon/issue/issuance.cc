#include "daemon/issue/issuance.h"

#include <algorithm>
#include <string>
#include <utility>

#include "daemon/base/failpoint.h"
#include "daemon/base/form.h"
#include "daemon/issue/records.h"
#include "daemon/issue/request_charges.h"

namespace tokend::issue {
namespace {

// When a caller whose record could not be written may ask again.
constexpr std::chrono::milliseconds kAuditRetryAfter{1000};

// A caller without a nearer deadline waits no longer than this for a turn.
constexpr std::chrono::minutes kLongestWait{1};

Failure Stopping() { return {Reason::kShuttingDown, "the daemon stopped before its turn came"}; }

Failure AuditUnavailable(const char* detail) {
  return {.reason = Reason::kAuditUnavailable, .detail = detail, .retry_after = kAuditRetryAfter};
}

std::optional<Failure> DescriptionTooLong(const Permitted& permitted) {
  const std::optional<std::size_t> length = Utf16Length(permitted.description());
  if (length && *length <= kMaxDescriptionUtf16) return std::nullopt;
  return Failure{.reason = Reason::kInvalidRequest,
                 .detail = "description: too long once the grant's template is applied",
                 .fields = {{"description",
                             "must be at most 1000 UTF-16 code units once the grant's template is applied"}}};
}

}  // namespace

Issuance::Issuance(const Stages& stages, Caller caller, TokenRequest request, state::TimePoint deadline,
                   ReplyCallback reply)
    : stages_(stages),
      config_(stages.config.Get()),
      caller_(std::move(caller)),
      request_(std::move(request)),
      deadline_(std::min(deadline, stages.loop.clock().Now() + kLongestWait)),
      reply_(std::move(reply)) {}

void Issuance::Start() {
  Decision decision = config_->policy.Decide(caller_, request_);
  if (const auto* denied = std::get_if<Denied>(&decision)) {
    return Fail({.reason = Reason::kNotPermitted, .detail = denied->missing});
  }
  permitted_ = std::get<Permitted>(std::move(decision));
  if (const std::optional<Failure> too_long = DescriptionTooLong(*permitted_)) return Fail(*too_long);
  ticket_.emplace(stages_.live, weak_from_this());  // not before: up to here this is the caller's thread's
  stages_.loop.Post([self = shared_from_this()] { self->Admit(); });
}

void Issuance::Admit() {
  if (stages_.live.stopping()) return Fail(Stopping());
  charges_ = ChargesFor(*config_, permitted_->grant(), caller_.name(), request_.organization());
  if (request_.validate_only()) return Validate();
  obstacle_ = EnterOrObstacle();
  organization_ = stages_.upstream.Hold(request_.organization());
  stage_ = Stage::kAdmitting;
  stages_.state.Admit(
      {.request_id = request_.request_id(),
       .digest = state::DigestOf(caller_.name(), request_.organization(), request_.application(),
                                 permitted_->scopes(), permitted_->description()),
       .caller = caller_.name(),
       .request_id_origin = request_.request_id_origin(),
       .charges = obstacle_ ? state::Charges{} : charges_,
       .latest = LatestTurn()},
      this, [self = shared_from_this()](state::AdmitResult claim) { self->OnAdmitted(std::move(claim)); });
}

void Issuance::OnAdmitted(state::AdmitResult claim) {
  if (auto* answered = std::get_if<state::Answered>(&claim)) return Replay(*answered);
  if (const auto* failure = std::get_if<Failure>(&claim)) return Fail(*failure);
  TOKEND_FAILPOINT("claimed", "");
  spent_ = std::get<state::Fresh>(claim).spent;
  if (!obstacle_) {
    stages_.traffic.retries.Began(request_.organization());
    return Queue();
  }
  // What stood in its way when it came, and so it spent nothing, may be gone: the claim may be one that
  // another call has left to it since.
  obstacle_ = EnterOrObstacle();
  if (obstacle_) return Decline(*obstacle_);
  stages_.traffic.retries.Began(request_.organization());
  Spend();
}

void Issuance::Spend() {
  stage_ = Stage::kAdmitting;
  stages_.state.Spend(charges_, LatestTurn(), this,
                      [self = shared_from_this()](const state::SpendResult& result) {
                        if (const auto* refusal = std::get_if<Failure>(&result)) {
                          return self->Decline(*refusal);
                        }
                        self->spent_ = std::get<state::Spent>(result);
                        self->Queue();
                      });
}

void Issuance::Queue() {
  if (stages_.live.stopping()) return GiveUp(Stopping());
  stage_ = Stage::kQueued;
  place_ = stages_.traffic.slots.Acquire(caller_.name(), [self = shared_from_this()] { self->OnTurn(); });
  if (!place_) return;
  overdue_ = stages_.loop.After(LatestTurn() - stages_.loop.clock().Now(), [self = shared_from_this()] {
    if (self->CallOff()) self->Fail({Reason::kOverloaded, "no slot upstream came free in time"});
  });
}

void Issuance::OnTurn() {
  StopWaiting();
  place_.reset();
  auto entered = stages_.availability.Enter(request_.organization(), request_.application());
  if (const auto* obstacle = std::get_if<Failure>(&entered)) {
    stages_.traffic.slots.Release();
    return GiveUp(*obstacle);
  }
  passage_.emplace(std::get<upstream::Availability::Passage>(std::move(entered)));
  Intend();
}

void Issuance::Intend() {
  if (attempts_++ > 0) stages_.metrics.Retried();
  stage_ = Stage::kIntending;
  intended_at_ = stages_.loop.clock().Now();
  WaitForRecord([self = shared_from_this()] { self->OnIntentLost(); });
  stages_.audit.AppendIntent(NewRecord(), [self = shared_from_this()](Result<IntentReceipt> intent) {
    self->OnIntentDurable(std::move(intent));
  });
  TOKEND_FAILPOINT("intent.handed", "");
}

void Issuance::OnIntentDurable(Result<IntentReceipt> intent) {
  StopWaiting();
  if (stage_ != Stage::kIntending) {  // too late: the call has failed
    if (intent.ok()) return RecordUnsent(*std::move(intent));
    return OnNoIntent();
  }
  if (!intent.ok()) {
    OnIntentLost();
    return OnNoIntent();
  }
  TOKEND_FAILPOINT("intent.durable", "");
  stage_ = Stage::kMinting;
  intent_ = intent->sequence();
  stages_.upstream.Mint(
      *std::move(intent),
      {request_.organization(), request_.application(), permitted_->description(), permitted_->scopes()},
      [self = shared_from_this()](IntentReceipt receipt, MintOutcome outcome) {
        self->OnMinted(std::move(receipt), std::move(outcome));
      });
  TOKEND_FAILPOINT("post.handed", "");
}

void Issuance::OnMinted(IntentReceipt intent, MintOutcome outcome) {
  TOKEND_FAILPOINT("answered", "");
  stage_ = Stage::kRecording;
  stages_.traffic.usual_time.Took(stages_.loop.clock().Now() - intended_at_);
  stages_.availability.Ended(*std::move(passage_), outcome);
  passage_.reset();
  audit::Record record = NewRecord();
  Describe(outcome.exchange, record);
  result_ = std::move(outcome.result);
  WaitForRecord([self = shared_from_this()] { self->OnOutcomeOverdue(); });
  RecordOutcome(std::move(intent), std::move(record));
  TOKEND_FAILPOINT("outcome.handed", "");
  stages_.traffic.slots.Release();
}

void Issuance::RecordOutcome(IntentReceipt intent, audit::Record record) {
  auto ended = [self = shared_from_this()](Result<std::uint64_t> sequence) {
    self->OnOutcomeDurable(std::move(sequence));
  };

  if (const auto* minted = std::get_if<Minted>(&result_)) {
    if (caller_is_ == CallerIs::kGone && request_.request_id_origin() == RequestIdOrigin::kDaemon) {
      record.set_detail("the caller left, and only it could have learned the request_id");
      record.set_event(audit::event::kTokenWithheld);
      stages_.audit.AppendEnd(std::move(intent), std::move(record), minted->token.get(), std::move(ended));
    } else {
      stages_.audit.AppendIssued(std::move(intent), std::move(record), *minted->token,
                                 [self = shared_from_this()](Result<IssuedReceipt> issued) {
                                   self->OnOutcomeDurable(std::move(issued));
                                 });
    }
  } else if (const auto* refused = std::get_if<Refused>(&result_)) {
    Describe(refused->failure, record);
    record.set_event(audit::event::kTokenRefused);
    stages_.audit.AppendEnd(std::move(intent), std::move(record), nullptr, std::move(ended));
  } else {
    const auto& unclear = std::get<Indeterminate>(result_);
    Describe(unclear.failure, record);
    record.set_event(unclear.withheld ? audit::event::kTokenWithheld : audit::event::kTokenUnknown);
    stages_.audit.AppendEnd(std::move(intent), std::move(record), unclear.withheld.get(), std::move(ended));
  }
}

void Issuance::OnOutcomeDurable(Result<IssuedReceipt> issued) {
  StopWaiting();
  if (!issued.ok()) return OnOutcomeLost();
  TOKEND_FAILPOINT("outcome.durable", "");
  auto token = std::get<Minted>(result_).token;
  state::Answered answered{token, intent_};
  if (known_ == Ledger::kRunning) {
    stages_.state.Settle(request_.request_id(), std::move(answered), intended_at_);
  } else {
    stages_.state.Amend(request_.request_id(), std::move(answered), intended_at_);
  }
  EndMint("issued");
  End(Released{*std::move(issued), std::move(token), Released::Kind::kIssued});
  TOKEND_FAILPOINT("released", "");
}

void Issuance::OnOutcomeDurable(Result<std::uint64_t> sequence) {
  StopWaiting();
  if (!sequence.ok()) return OnOutcomeLost();
  if (const auto* refused = std::get_if<Refused>(&result_)) {
    Failure failure = refused->failure;
    failure.audit_sequence = *sequence;
    return OnRefused(std::move(failure));
  }
  const auto* unclear = std::get_if<Indeterminate>(&result_);
  Failure failure = unclear != nullptr ? unclear->failure : Failure{.reason = Reason::kOutcomeUnknown};
  failure.audit_sequence = *sequence;
  if (known_ == Ledger::kRunning) stages_.state.Settle(request_.request_id(), failure, intended_at_);
  EndMint(unclear != nullptr && !unclear->withheld ? "unknown" : "withheld");
  End(std::move(failure));
}

void Issuance::OnRefused(Failure failure) {
  if (known_ == Ledger::kSettledAsUnknown) {
    stages_.state.Amend(request_.request_id(), std::nullopt, intended_at_);
    EndMint("refused");
    return End(std::move(failure));
  }
  std::optional<std::chrono::milliseconds> pause;
  if (caller_is_ == CallerIs::kWaiting && !stages_.live.stopping()) {
    pause = stages_.traffic.retries.Next(request_.organization(), failure, attempts_,
                                         LatestTurn() - stages_.loop.clock().Now());
  }
  if (!pause) {
    stages_.state.Refuse(request_.request_id(), failure);
    EndMint("refused");
    return End(std::move(failure));
  }
  stage_ = Stage::kPausing;
  pause_ = stages_.loop.After(*pause, [self = shared_from_this()] { self->Retry(); });
}

void Issuance::Retry() {
  pause_.reset();
  if (const auto obstacle = stages_.availability.Check(request_.organization(), request_.application())) {
    return Decline(*obstacle);
  }
  Spend();
}

void Issuance::Cancel() {
  stages_.loop.Post([self = shared_from_this()] { self->OnCancelled(); });
}

void Issuance::OnCancelled() {
  caller_is_ = CallerIs::kGone;
  if (!CallOff()) return;
  audit::Record record = NewRecord();
  record.set_event(audit::event::kRequestFailed);
  record.set_detail("the caller cancelled, or its deadline passed, before the intent");
  stages_.audit.Note(std::move(record));
  End(Abandoned{});
}

void Issuance::Stop() {
  if (CallOff()) Fail(Stopping());
}

// Whether nothing is sent, and so nothing will be.
bool Issuance::CallOff() {
  if (stage_ != Stage::kAdmitting && stage_ != Stage::kQueued && stage_ != Stage::kPausing) return false;
  running_.reset();  // for who takes its claim over
  switch (stage_) {
    case Stage::kAdmitting:
      stages_.state.Leave(request_.request_id(), this);
      break;
    case Stage::kQueued:
      StopWaiting();
      if (place_) stages_.traffic.slots.Leave(*std::exchange(place_, std::nullopt));
      stages_.state.GiveBack(charges_, spent_);
      stages_.state.Abandon(request_.request_id());
      break;
    case Stage::kPausing:
      stages_.loop.Cancel(*std::exchange(pause_, std::nullopt));
      stages_.state.Abandon(request_.request_id());
      break;
    default:
      break;
  }
  if (attempts_ > 0) EndMint("refused");
  return true;
}

// Its turn has come, and it cannot go on.
void Issuance::GiveUp(const Failure& failure) {
  stages_.state.GiveBack(charges_, spent_);
  Decline(failure);
}

// The claim is its own, and nothing is spent for what it will not try.
void Issuance::Decline(const Failure& failure) {
  stages_.state.Refuse(request_.request_id(), failure);
  if (attempts_ > 0) EndMint("refused");
  Fail(failure);
}

// The intent is not durable in time. Should it become so later, it is ended as refused: nothing was sent.
// Until that is known the request lives on.
void Issuance::OnIntentLost() {
  StopWaiting();
  stage_ = Stage::kRecording;
  passage_.reset();
  const Failure failure = AuditUnavailable("the intent's record could not be made durable in time");
  stages_.state.Refuse(request_.request_id(), failure);
  Note(failure);
  Answer(failure);
  stages_.traffic.slots.Release();
}

// Nor will it ever be.
void Issuance::OnNoIntent() {
  stages_.state.GiveBack(charges_, spent_);
  if (attempts_ > 1) EndMint("refused");
  Leave();
}

void Issuance::RecordUnsent(IntentReceipt intent) {
  audit::Record record = NewRecord();
  Describe(AuditUnavailable("the intent became durable only after the call had failed; nothing was sent"),
           record);
  record.set_event(audit::event::kTokenRefused);
  stages_.audit.AppendEnd(std::move(intent), std::move(record), nullptr,
                          [self = shared_from_this()](const Result<std::uint64_t>& sequence) {
                            if (sequence.ok()) self->EndMint("refused");
                            self->Leave();
                          });
}

// The outcome's record is not durable in time: the caller is told that nobody knows, and the record, whenever
// it becomes durable, amends the ledger.
void Issuance::OnOutcomeOverdue() {
  overdue_.reset();
  Failure failure{.reason = Reason::kOutcomeUnknown,
                  .detail = "the outcome's record could not be made durable in time",
                  .audit_sequence = intent_};
  if (known_ == Ledger::kRunning) {
    known_ = Ledger::kSettledAsUnknown;
    stages_.state.Settle(request_.request_id(), failure, intended_at_);
  }
  Answer(std::move(failure));
}

// The log has stopped.
void Issuance::OnOutcomeLost() {
  OnOutcomeOverdue();
  Leave();
}

void Issuance::Validate() {
  stage_ = Stage::kRecording;
  stages_.state.Check(charges_, LatestTurn(),
                      [self = shared_from_this()](const std::optional<Failure>& refusal) {
                        if (refusal) return self->Fail(*refusal);
                        self->RecordValidated();
                      });
}

void Issuance::RecordValidated() {
  audit::Record record = NewRecord();
  record.set_event(audit::event::kRequestValidated);
  WaitForRecord([self = shared_from_this()] {
    self->Answer(AuditUnavailable("the record could not be made durable in time"));
  });
  stages_.audit.Append(std::move(record), [self = shared_from_this()](Result<std::uint64_t> sequence) {
    self->StopWaiting();
    if (!sequence.ok()) return self->End(AuditUnavailable("the record could not be made durable"));
    auto token = std::make_shared<Token>();
    token->organization = IsObjectId(self->request_.organization()) ? self->request_.organization() : "";
    token->application = IsObjectId(self->request_.application()) ? self->request_.application() : "";
    token->description = self->permitted_->description();
    token->scopes = self->permitted_->scopes();
    self->End(Validated{std::move(token), *sequence});
  });
}

void Issuance::Replay(const state::Answered& answered) {
  stage_ = Stage::kRecording;
  WaitForRecord([self = shared_from_this()] {
    self->Answer(AuditUnavailable("the record of the replay could not be made durable in time"));
  });
  const Token& token = *answered.token;
  stages_.audit.AppendReplayed(
      answered.intent, NewRecord(), token,
      [self = shared_from_this(), token = answered.token](Result<IssuedReceipt> replayed) {
        self->StopWaiting();
        if (!replayed.ok())
          return self->End(AuditUnavailable("the record of the replay could not be made durable"));
        self->EndMint("replayed");
        self->End(Released{*std::move(replayed), token, Released::Kind::kReplayed});
      });
}

void Issuance::Fail(const Failure& failure) {
  Note(failure);
  End(failure);
}

void Issuance::Note(const Failure& failure) {
  audit::Record record = NewRecord();
  record.set_event(EventOf(failure.reason));
  Describe(failure, record);
  stages_.audit.Note(std::move(record));
  for (const QuotaViolation& spent : failure.quotas) stages_.metrics.LimitRefused(spent.subject);
}

void Issuance::EndMint(const char* outcome) { stages_.metrics.TokenEnded(outcome); }

void Issuance::End(Reply reply) {
  stage_ = Stage::kEnded;
  Answer(std::move(reply));
  Leave();
}

// Nothing is owed to it or by it any more.
void Issuance::Leave() {
  running_.reset();
  organization_.reset();
  ticket_.reset();
}

void Issuance::Answer(Reply reply) {
  if (reply_) std::exchange(reply_, nullptr)(std::move(reply));
}

void Issuance::WaitForRecord(loop::Task overdue) {
  overdue_ = stages_.loop.After(config_->audit_deadline, std::move(overdue));
}

void Issuance::StopWaiting() {
  if (overdue_) stages_.loop.Cancel(*std::exchange(overdue_, std::nullopt));
}

// A turn that comes later leaves no time for an answer.
state::TimePoint Issuance::LatestTurn() const { return deadline_ - stages_.traffic.usual_time.get(); }

// What keeps it from being tried; nothing: its place is taken.
std::optional<Failure> Issuance::EnterOrObstacle() {
  if (!running_) running_ = stages_.traffic.calls.Enter(permitted_->grant(), caller_.name());
  if (!running_) {
    return Failure{Reason::kOverloaded, "as many of the caller's requests run as its grant allows"};
  }
  return stages_.availability.Check(request_.organization(), request_.application());
}

audit::Record Issuance::NewRecord() const {
  audit::Record record = permitted_ ? RecordOf(caller_, request_, *permitted_) : RecordOf(caller_, request_);
  record.set_config(config_->fingerprint);
  return record;
}

}  // namespace tokend::issue
