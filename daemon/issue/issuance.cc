#include "daemon/issue/issuance.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <variant>

#include "daemon/base/failpoint.h"
#include "daemon/base/form.h"
#include "daemon/issue/records.h"
#include "daemon/issue/request_charges.h"

namespace tokend::issue {
namespace {

// A caller without a nearer deadline waits no longer than this for a turn.
constexpr std::chrono::minutes kLongestWait{1};

RequestContext ContextOf(const Stages& stages, Caller caller, TokenRequest request,
                         state::TimePoint deadline) {
  const state::TimePoint now = stages.loop.clock().Now();
  std::chrono::milliseconds patience = kLongestWait;
  if (request.relayed()) {
    patience = std::min(patience, request.relayed()->caller_timeout.value_or(patience));
  }
  deadline = std::min(deadline, now + kLongestWait);
  return {.config = stages.config.Get(),
          .caller = std::move(caller),
          .request = std::move(request),
          .deadline = deadline,
          .intend_by = std::min(deadline, now + patience)};
}

Failure TooManyInFlight() {
  return {Reason::kOverloaded, "as many of the caller's requests run as its grant allows"};
}

Failure Stopping() { return {Reason::kShuttingDown, "the daemon stopped before its turn came"}; }

Failure OrganizationMissing() {
  return {.reason = Reason::kInvalidRequest,
          .detail = std::string("organization ") + kOrganizationMissing,
          .fields = {{"organization", kOrganizationMissing}}};
}

// The token that would be created, without id and bearer.
std::shared_ptr<const Token> TokenFor(const RequestContext& context) {
  const TokenRequest& request = context.request;
  auto token = std::make_shared<Token>();
  token->organization = IsObjectId(request.organization()) ? request.organization() : "";
  token->application = IsObjectId(request.application()) ? request.application() : "";
  token->description = context.permitted->description();
  token->scopes = context.permitted->scopes();
  return token;
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
      context_(ContextOf(stages, std::move(caller), std::move(request), deadline)),
      ledger_id_(
          state::LedgerId(context_.caller.name(), context_.on_behalf_of(), context_.request.request_id())),
      reply_(std::move(reply)) {}

void Issuance::Start() {
  refused_ = Decide();
  if (refused_ && !MayBeKnown()) return Fail(*refused_);
  ticket_ = stages_.live.Add(Self());  // last: from here on the request is the loop thread's
  stages_.loop.Post([self = Self()] { self->Admit(); });
}

// Judges the request by the configuration alone, without limits. Returns why it is refused, or nothing.
std::optional<Failure> Issuance::Decide() {
  if (context_.request.organization().empty()) return OrganizationMissing();
  Decision decision = context_.config->policy.Decide(context_.caller, context_.request);
  if (const auto* denied = std::get_if<Denied>(&decision)) {
    return Failure{.reason = Reason::kNotPermitted, .detail = denied->missing};
  }
  context_.permitted = std::get<Permitted>(std::move(decision));
  return DescriptionTooLong(*context_.permitted);
}

// Whether the configuration may have permitted the same call before: with another default organization, or
// with another template of the description.
bool Issuance::MayBeKnown() const {
  const TokenRequest& request = context_.request;
  return request.request_id_origin() == RequestIdOrigin::kCaller && !request.validate_only() &&
         (request.sent_organization().empty() || context_.permitted);
}

void Issuance::Admit() {
  if (stages_.live.stopping()) return Fail(Stopping());
  context_.digest = context_.MakeDigest();
  const TokenRequest& request = context_.request;
  if (!refused_) {
    context_.charges = ChargesFor(*context_.config, context_.permitted->grant(), context_.caller.name(),
                                  request.organization());
    if (request.validate_only()) return Validate();
    blocked_ = FindBlock();
    organization_ = stages_.upstream.Hold(request.organization());
  }
  Become(Stage::kAdmitting);
  wait_ = StateWait(stages_.state, ledger_id_, this);
  stages_.state.Admit(
      {.request_id = ledger_id_,
       .digest = context_.digest,
       .target = {request.organization(), request.application(),
                  refused_ ? request.scopes() : context_.permitted->scopes(),
                  refused_ ? request.description() : context_.permitted->description()},
       .caller = context_.caller.name(),
       .age = context_.RequestIdAge(),
       .one_caller = context_.config->policy.names_one_caller(),
       .charges = refused_ || blocked_ ? state::Charges{} : context_.charges,
       .latest = context_.LatestTurn(stages_.pacing.latency)},
      this, [self = Self()](state::AdmitResult admitted) { self->OnAdmitted(std::move(admitted)); });
}

void Issuance::OnAdmitted(state::AdmitResult admitted) {
  wait_.Over();
  if (const auto* known = std::get_if<state::Known>(&admitted)) return OnKnown(*known);
  if (const auto* failure = std::get_if<Failure>(&admitted)) return Fail(*failure);
  TOKEND_FAILPOINT("claimed", "");
  const auto& fresh = std::get<state::Fresh>(admitted);
  if (fresh.earlier) context_.first_intent = fresh.earlier->intent;
  claim_ = TakeClaim();
  std::optional<SpentCharges> spent;
  if (!refused_ && !blocked_) spent.emplace(stages_.state, context_.charges, fresh.spent);
  if (fresh.earlier) return AskAgain(*fresh.earlier, std::move(spent));
  if (refused_) return Fail(*refused_);
  if (spent) return Begin(*std::move(spent));
  BeginUnlessBlocked();
}

// The central tokend may have created a token for the first call with this request_id. This call asks for
// what the first one asked for, if the policy permits that now.
void Issuance::AskAgain(const state::Earlier& earlier, std::optional<SpentCharges> spent) {
  const state::Target& first = earlier.first;
  Decision decision = context_.config->policy.DecideAgain(
      {context_.caller.name(), first.organization, first.application, first.scopes}, first.description);
  if (const auto* denied = std::get_if<Denied>(&decision)) {
    spent.reset();
    return Fail({.reason = Reason::kNotPermitted, .detail = denied->missing});
  }
  context_.permitted = std::get<Permitted>(std::move(decision));
  if (spent) return Begin(*std::move(spent));
  if (refused_) {
    context_.charges = ChargesFor(*context_.config, context_.permitted->grant(), context_.caller.name(),
                                  context_.request.organization());
    organization_ = stages_.upstream.Hold(context_.request.organization());
  }
  BeginUnlessBlocked();
}

void Issuance::Begin(SpentCharges spent) {
  stages_.pacing.retries.Began(context_.request.organization());
  Try(std::move(spent));
}

// On arrival the request was blocked, so it was admitted without charges. It may have waited for another
// call's claim since: check again before charging.
void Issuance::BeginUnlessBlocked() {
  blocked_ = FindBlock();
  if (blocked_) return Fail(*blocked_);
  stages_.pacing.retries.Began(context_.request.organization());
  Spend();
}

void Issuance::Spend() {
  Become(Stage::kSpending);
  claim_.HandToState();
  wait_ = StateWait(stages_.state, ledger_id_, this);
  stages_.state.Spend(
      context_.charges, context_.LatestTurn(stages_.pacing.latency), this,
      [self = Self()](const state::SpendResult& result) {
        self->wait_.Over();
        self->claim_ = self->TakeClaim();
        if (const auto* refusal = std::get_if<Failure>(&result)) return self->Fail(*refusal);
        self->Try({self->stages_.state, self->context_.charges, std::get<state::Spent>(result)});
      });
}

void Issuance::Try(SpentCharges spent) {
  if (stages_.live.stopping()) {
    spent.GiveBack();
    return Fail(Stopping());
  }
  // Where the two times are the same, the caller's deadline ends the request elsewhere.
  if (context_.intend_by < context_.deadline && context_.intend_by <= stages_.loop.clock().Now()) {
    spent.GiveBack();
    return Fail({Reason::kOverloaded, "the relay's caller waits no longer"});
  }
  Become(Stage::kAttempting);
  attempt_ = std::make_unique<Attempt>(stages_, context_, *this, std::move(spent), refused_attempts_ + 1);
  attempt_->Start();
}

void Issuance::OnIntending(state::TimePoint intended_at) { claim_.Keep(intended_at); }

void Issuance::OnIssued(IssuedReceipt issued, std::shared_ptr<const Token> token, std::uint64_t intent) {
  claim_.Settle({token, intent});
  stages_.pacing.buckets.AddReplays(context_.caller.name());
  stages_.metrics.TokenEnded(TokenOutcome::kIssued);
  End(Released{std::move(issued), std::move(token), Released::Kind::kIssued});
}

void Issuance::OnUnknown(Failure failure, TokenOutcome outcome, std::uint64_t intent) {
  claim_.SettleAsUnknown(failure, intent);
  stages_.metrics.TokenEnded(outcome);
  const TokenRequest& request = context_.request;
  stages_.metrics.recent().TokenUnaccounted(
      {outcome, request.request_id(), context_.caller.name(), request.organization(), request.application()});
  End(std::move(failure));
}

void Issuance::OnRefused(Failure failure) {
  ++refused_attempts_;
  std::optional<std::chrono::milliseconds> pause;
  const bool may_retry = !claim_.is_unknown() && !context_.caller_left && !stages_.live.stopping();
  if (may_retry && !stages_.upstream.retries()) {
    pause =
        stages_.pacing.retries.Next(context_.request.organization(), failure, refused_attempts_,
                                    context_.LatestTurn(stages_.pacing.latency) - stages_.loop.clock().Now());
  }
  if (!pause) {
    claim_.Refuse(failure);
    stages_.metrics.TokenEnded(TokenOutcome::kRefused);
    return End(std::move(failure));
  }
  claim_.MayAbandon();
  Become(Stage::kPausing);
  timer_ = Timer(stages_.loop, *pause, [self = Self()] { self->Retry(); });
}

void Issuance::Retry() {
  if (const auto blocked = FindBlock()) return Fail(*blocked);
  Spend();
}

void Issuance::OnSlotOverdue() {
  if (CallOff()) Fail({Reason::kOverloaded, "no slot upstream came free in time"});
}

void Issuance::OnIntentOverdue(const Failure& failure) {
  claim_.Refuse(failure);
  Note(failure);
  Answer(failure);
}

void Issuance::OnOutcomeOverdue(const Failure& failure, std::uint64_t intent) {
  claim_.SettleAsUnknown(failure, intent);
  Answer(failure);
}

void Issuance::OnOver(std::optional<TokenOutcome> outcome) {
  assert(!reply_);
  if (outcome) stages_.metrics.TokenEnded(*outcome);
  End(Abandoned{});
}

void Issuance::Validate() {
  if (const auto spent =
          stages_.pacing.buckets.TakeCheck(context_.caller.name(), stages_.loop.clock().Now())) {
    return Fail(*spent);
  }
  // The place is free again at once: a rehearsal takes none from a request.
  if (!stages_.pacing.calls.Enter(context_.permitted->grant(), context_.caller.name())) {
    return Fail(TooManyInFlight());
  }
  Become(Stage::kChecking);
  stages_.state.Check(context_.charges, context_.LatestTurn(stages_.pacing.latency),
                      [self = Self()](const std::optional<Failure>& refusal) {
                        if (self->stage_ != Stage::kChecking) return;  // it was called off
                        if (refusal) return self->Fail(*refusal);
                        self->ValidateUpstream();
                      });
}

void Issuance::ValidateUpstream() {
  stages_.upstream.Validate(
      context_.ToMint(stages_.loop.clock().Now()), [self = Self()](upstream::Upstream::Validation answer) {
        if (self->stage_ != Stage::kChecking) return;
        if (auto* failure = std::get_if<Failure>(&answer)) {
          Failure noted = *failure;
          noted.quotas.clear();  // limits of the central tokend have no series in this tokend's metrics
          self->Note(noted);
          return self->End(std::move(*failure));
        }
        self->RecordValidated(std::get<std::shared_ptr<const Token>>(std::move(answer)));
      });
}

// `token`: the token that the upstream would create. Null: the upstream does not say.
void Issuance::RecordValidated(std::shared_ptr<const Token> token) {
  Become(Stage::kRecording);
  audit::Record record = RecordOf(context_);
  record.set_event(audit::event::kRequestValidated);
  AnswerIfOverdue("the record could not be made durable in time");
  if (token == nullptr) token = TokenFor(context_);
  stages_.audit.Append(std::move(record),
                       [self = Self(), token = std::move(token)](Result<std::uint64_t> sequence) mutable {
                         if (!sequence.ok()) {
                           return self->End(AuditUnavailable("the record could not be made durable"));
                         }
                         self->End(Validated{std::move(token), *sequence});
                       });
}

// The first call with this request_id may have come under an earlier configuration. The current policy judges
// the organization, application and scopes of that first call.
void Issuance::OnKnown(const state::Known& known) {
  const auto* answered = std::get_if<state::Answered>(&known.outcome);
  Decision decision = context_.config->policy.DecideAgain(
      {context_.caller.name(), known.first.organization, known.first.application, known.first.scopes},
      answered != nullptr ? answered->token->description : std::string());
  if (const auto* denied = std::get_if<Denied>(&decision)) {
    return Fail({.reason = Reason::kNotPermitted, .detail = denied->missing});
  }
  if (answered == nullptr) return Fail(std::get<Failure>(known.outcome));
  context_.permitted = std::get<Permitted>(std::move(decision));
  Replay(known.first, *answered);
}

void Issuance::Replay(const state::Target& first, const state::Answered& answered) {
  if (!answered.joined) {
    CallerBuckets& buckets = stages_.pacing.buckets;
    if (const auto spent = buckets.TakeReplay(context_.caller.name(), stages_.loop.clock().Now())) {
      return Fail(*spent);
    }
  }
  Become(Stage::kRecording);
  audit::Record record = RecordOf(context_);
  record.mutable_target()->set_organization(first.organization);
  AnswerIfOverdue("the record of the replay could not be made durable in time");
  stages_.audit.AppendReplayed(
      answered.intent, std::move(record), *answered.token,
      [self = Self(), token = answered.token](Result<IssuedReceipt> replayed) {
        if (!replayed.ok()) {
          return self->End(AuditUnavailable("the record of the replay could not be made durable"));
        }
        self->stages_.metrics.TokenEnded(TokenOutcome::kReplayed);
        self->End(Released{*std::move(replayed), token, Released::Kind::kReplayed});
      });
}

void Issuance::AnswerIfOverdue(const char* detail) {
  timer_ = Timer(stages_.loop, context_.config->audit_deadline,
                 [self = Self(), detail] { self->Answer(AuditUnavailable(detail)); });
}

void Issuance::Cancel() {
  stages_.loop.Post([self = Self()] {
    self->context_.caller_left = true;
    if (!self->CallOff()) return;
    if (self->refused_attempts_ > 0) self->stages_.metrics.TokenEnded(TokenOutcome::kRefused);
    audit::Record record = RecordOf(self->context_);
    record.set_event(audit::event::kRequestFailed);
    record.set_detail("the caller cancelled, or its deadline passed, before the intent");
    self->NoteRefusal(std::move(record));
    self->End(Abandoned{});
  });
}

void Issuance::Stop() {
  if (CallOff()) Fail(Stopping());
}

// False, and nothing happens, where an intent may have been recorded or the request makes no attempt.
bool Issuance::CallOff() {
  const bool queued = stage_ == Stage::kAttempting && attempt_->can_be_called_off();
  if (!queued && stage_ != Stage::kAdmitting && stage_ != Stage::kSpending && stage_ != Stage::kPausing &&
      stage_ != Stage::kChecking) {
    return false;
  }
  in_flight_.reset();  // before the claim: a call that takes the claim over needs a place
  timer_.Cancel();
  wait_ = {};
  attempt_.reset();
  claim_ = {};
  return true;
}

void Issuance::Fail(const Failure& failure) {
  claim_.Refuse(failure);
  if (refused_attempts_ > 0) stages_.metrics.TokenEnded(TokenOutcome::kRefused);
  Note(failure);
  End(failure);
}

void Issuance::Note(const Failure& failure) {
  audit::Record record = RecordOf(context_);
  record.set_event(EventOf(failure.reason));
  Describe(failure, record);
  NoteRefusal(std::move(record));
  for (const QuotaViolation& spent : failure.quotas) stages_.metrics.LimitRefused(spent.subject);
}

void Issuance::NoteRefusal(audit::Record record) {
  stages_.audit.NoteRefusal(std::move(record), AllowanceOf(*context_.config, &context_.caller));
}

void Issuance::Answer(Reply reply) {
  if (reply_) std::exchange(reply_, nullptr)(std::move(reply));
}

void Issuance::End(Reply reply) {
  assert(!claim_.is_open());
  Become(Stage::kEnded);
  timer_.Cancel();
  Answer(std::move(reply));
  in_flight_.reset();
  organization_.reset();
  ticket_.reset();
}

// What keeps the request from being sent now. Nothing: it has its place in flight, and may be sent.
std::optional<Failure> Issuance::FindBlock() {
  if (!in_flight_) {
    in_flight_ = stages_.pacing.calls.Enter(context_.permitted->grant(), context_.caller.name());
  }
  if (!in_flight_) return TooManyInFlight();
  return stages_.availability.Check(
      {context_.request.organization(), context_.request.application(), context_.caller.name()});
}

void Issuance::Become(Stage next) {
  using enum Stage;
  [[maybe_unused]] static constexpr std::pair<Stage, Stage> kLegal[] = {
      {kDeciding, kAdmitting},   {kDeciding, kChecking},   {kDeciding, kEnded},   {kAdmitting, kSpending},
      {kAdmitting, kAttempting}, {kAdmitting, kRecording}, {kAdmitting, kEnded},  {kSpending, kAttempting},
      {kSpending, kEnded},       {kAttempting, kPausing},  {kAttempting, kEnded}, {kPausing, kSpending},
      {kPausing, kEnded},        {kChecking, kRecording},  {kChecking, kEnded},   {kRecording, kEnded},
  };
  assert(std::ranges::count(kLegal, std::pair(stage_, next)) == 1);
  stage_ = next;
}

}  // namespace tokend::issue
