#include "daemon/upstream/relayed_request.h"

#include <algorithm>
#include <cassert>
#include <variant>

#include "daemon/base/relay_metadata.h"
#include "daemon/upstream/answered_token.h"
#include "daemon/upstream/central_failures.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = CentralVerdict::Kind;

constexpr int kHttpStatusOfGrpc = 200;  // of each answer that has a gRPC status

// The longest pause between two calls of a request. It doubles with each pause, up to the longest one.
constexpr milliseconds kFirstRetryDelay{100};
constexpr milliseconds kLongestRetryDelay{2000};
// A request waits as long as the centre asks for, unless that is longer than this.
constexpr milliseconds kLongestAskedDelay{2000};
// A request goes to no further address once the centre has answered CALLER_UNKNOWN this many times for each
// address.
constexpr std::size_t kMaxRounds = 3;

std::string MessageFor(const MintRequest& request, Purpose purpose) {
  v1::CreateTokenRequest message;
  message.set_organization(request.organization);
  message.set_application(request.application);
  message.set_description(request.description);
  for (const std::string& scope : request.scopes) message.add_scopes(scope);
  message.set_request_id(request.request_id);
  message.set_validate_only(purpose == Purpose::kValidate);
  return message.SerializeAsString();
}

const Failure* FailureOf(const MintResult& result) {
  if (const auto* refused = std::get_if<Refused>(&result)) return &refused->failure;
  const auto* unclear = std::get_if<Indeterminate>(&result);
  return unclear != nullptr ? &unclear->failure : nullptr;
}

const Failure* FailureOf(const CentralVerdict& verdict) { return FailureOf(verdict.result); }

bool IsCallerUnknown(const CentralVerdict& verdict) {
  return verdict.kind == Kind::kRefused && FailureOf(verdict)->reason == Reason::kCallerUnknown;
}

bool IsWorthAnotherCall(const Failure& refusal) {
  switch (refusal.reason) {
    case Reason::kShuttingDown:
    case Reason::kOverloaded:
    case Reason::kLimitsUnavailable:
    case Reason::kAuditUnavailable:
    case Reason::kUpstreamUnavailable:
      return true;
    case Reason::kRateLimited:
      return refusal.retry_after && *refusal.retry_after <= kLongestAskedDelay;
    default:
      return false;
  }
}

CentralVerdict NothingSent(std::string detail) {
  return {Kind::kUnsent, Refused{CentreUnreachable(std::move(detail))}};
}

}  // namespace

RelayedRequest::RelayedRequest(RelayParts& relay, MintRequest request, Purpose purpose, Done done)
    : relay_(relay),
      request_(std::move(request)),
      purpose_(purpose),
      done_(std::move(done)),
      began_(relay.loop.clock().Now()),
      latest_(request_.deadline - kLastMoment),
      message_(MessageFor(request_, purpose)),
      unanswered_(purpose == Purpose::kMint && request_.asked_before) {}

void RelayedRequest::Start() {
  relay_.requests.insert(shared_from_this());
  const auto left = latest_ - began_;
  if (relay_.stopping || left <= left.zero()) {
    last_ = NothingSent(relay_.stopping ? "the daemon stops" : "the caller's deadline left no time to call");
    return relay_.loop.Post([self = shared_from_this()] {
      if (self->stage_ != Stage::kEnded) self->EndWithLast();
    });
  }
  relay_.budget.Began();
  deadline_ = loop::Timer(relay_.loop, left, [self = shared_from_this()] { self->OnDeadline(); });
  Call(request_.is_probe ? Connection::kNew : Connection::kAny);
}

void RelayedRequest::Stop() {
  assert(relay_.stopping);
  if (stage_ == Stage::kEnded) return;
  if (running_ > 0) return EndUnanswered("the daemon's end");
  EndWithLast();
}

void RelayedRequest::Call(Connection connection) {
  Become(Stage::kCalling);
  if (running_ == 0) {
    next_ = loop::Timer(relay_.loop, kSlow, [self = shared_from_this()] { self->OnSlow(); });
  }
  CentralCall call{.message = message_,
                   .metadata = Metadata(),
                   .connection = connection,
                   .avoid = last_replica_,
                   .send_by = latest_,
                   .sent = sent_};
  if (calls_ > 0 && relay_.on_retry) relay_.on_retry();
  ++calls_;
  ++running_;
  relay_.calls.Call(std::move(call),
                    [self = shared_from_this()](CentralAnswer answer) { self->OnAnswer(std::move(answer)); });
  credentials_ = relay_.calls.credentials_generation();  // Call may have read the files again
}

std::vector<std::pair<std::string, std::string>> RelayedRequest::Metadata() const {
  const auto now = relay_.loop.clock().Now();
  const bool first = calls_ == 0 && !request_.asked_before;
  const auto age = std::max(std::chrono::ceil<seconds>(now - request_.first_intended_at), seconds(1));
  const auto left = std::chrono::floor<milliseconds>(request_.deadline - now);
  std::vector<std::pair<std::string, std::string>> metadata = {
      {relay_metadata::kOnBehalfOf, request_.caller},
      {relay_metadata::kRequestAge,
       std::to_string(first || purpose_ == Purpose::kValidate ? 0 : age.count())},
      {relay_metadata::kCallerTimeout, std::to_string(left.count())},
  };
  if (!request_.digest.empty()) metadata.emplace_back(relay_metadata::kRequestDigest, request_.digest);
  if (!request_.traceparent.empty()) metadata.emplace_back("traceparent", request_.traceparent);
  return metadata;
}

// The connection may be dead, so the request is sent again on a new one. The centre joins the two calls. The
// second call takes no retry of the budget, because a request makes at most one such call in kSlow.
void RelayedRequest::OnSlow() {
  next_.Cancel();
  if (!relay_.stopping) Call(Connection::kNew);
}

void RelayedRequest::OnAnswer(CentralAnswer answer) {
  // That a call has had no answer is no news once another call has had one.
  const bool is_news = stage_ != Stage::kEnded || answer.status.has_value();
  if (relay_.on_answer && !relay_.stopping && is_news) {
    relay_.on_answer({answer.status, answer.latency, answer.error});
  }
  assert(running_ > 0);
  --running_;
  CentralVerdict verdict = Judge(answer, request_, purpose_);
  const Token* const token = TokenOf(verdict.result);
  if (token != nullptr) relay_.calls.WipeCopies(token->bearer.Expose());
  if (stage_ == Stage::kEnded) return;

  last_ = std::move(verdict);
  last_replica_ = answer.replica;
  last_answered_ = answer.status.has_value();
  if (last_.kind == Kind::kSettled) return End(std::move(last_.result), Centre::kWorks);
  if (last_.kind == Kind::kLost && purpose_ == Purpose::kMint) unanswered_ = true;
  if (IsCallerUnknown(last_)) {
    ++rejections_;
    if (answer.replica) rejected_by_.insert(*answer.replica);
  }
  if (running_ == 0) GoOn();  // otherwise the call that runs may still bring the token
}

// Decides what follows when a call has ended without a token and no other call runs.
void RelayedRequest::GoOn() {
  next_.Cancel();
  const bool rejected = IsCallerUnknown(last_);
  if (rejected && !relay_.stopping && !IsRejectedEverywhere()) {
    relay_.calls.RereadCredentials();
    return CallElsewhere();
  }
  const std::optional<milliseconds> delay = rejected ? std::nullopt : NextDelay();
  if (!delay) return EndWithLast();
  ++pauses_;
  Become(Stage::kWaiting);
  next_ = loop::Timer(relay_.loop, *delay, [self = shared_from_this()] { self->CallElsewhere(); });
}

// Where only one address is known, a new connection may lead to another replica behind it.
void RelayedRequest::CallElsewhere() {
  next_.Cancel();
  Call(relay_.calls.replicas() > 1 ? Connection::kAny : Connection::kNew);
}

bool RelayedRequest::IsRejectedEverywhere() const {
  const std::size_t replicas = std::max<std::size_t>(relay_.calls.replicas(), 1);
  return rejections_ > 1 && (rejected_by_.size() >= replicas || rejections_ >= kMaxRounds * replicas);
}

// The pause before the next call. Nothing: no call follows.
std::optional<milliseconds> RelayedRequest::NextDelay() {
  const Failure& failure = *FailureOf(last_);
  if (relay_.stopping) return std::nullopt;
  if (last_.kind == Kind::kRefused && !IsWorthAnotherCall(failure)) return std::nullopt;
  const milliseconds longest =
      std::min(kFirstRetryDelay * (1 << std::min<std::size_t>(pauses_, 10)), kLongestRetryDelay);
  milliseconds delay(std::uniform_int_distribution(longest.count() / 2, longest.count())(relay_.jitter));
  if (failure.reason == Reason::kRateLimited) delay += *failure.retry_after;
  if (relay_.loop.clock().Now() + delay >= latest_) return std::nullopt;
  const bool is_free = last_.kind == Kind::kLost || failure.reason == Reason::kShuttingDown;
  return is_free || relay_.budget.Take() ? std::optional(delay) : std::nullopt;
}

void RelayedRequest::OnDeadline() {
  deadline_.Cancel();
  if (running_ == 0) return EndWithLast();
  EndUnanswered("the caller's deadline");
}

// Ends the request while a call runs. `before`: what comes before that call's answer.
void RelayedRequest::EndUnanswered(const char* before) {
  const bool heard = calls_ > running_;
  const std::string detail = std::string("no answer of the central tokend before ") + before +
                             (heard ? "; before that: " + FailureOf(last_)->detail : "");
  const bool worked = heard && last_.kind == Kind::kRefused;
  // After that time the second call had no answer either.
  const bool had_time = relay_.loop.clock().Now() - began_ >= 2 * kSlow;
  const Centre centre = worked ? Centre::kWorks : (heard || had_time ? Centre::kByOutcome : Centre::kUnheard);
  if (purpose_ == Purpose::kValidate || (*sent_ == loop::Sent::kNo && !unanswered_)) {
    return End(Refused{CentreUnreachable(detail)}, centre);
  }
  End(Indeterminate{{.reason = Reason::kOutcomeUnknown, .detail = detail}, nullptr}, centre);
}

// Ends the request as its last call ended.
void RelayedRequest::EndWithLast() {
  const Failure failure = *FailureOf(last_);
  const bool rejected = IsCallerUnknown(last_);
  const Centre unanswered = calls_ == 0 ? Centre::kUnheard : Centre::kByOutcome;
  const Centre answered = rejected ? Centre::kRejects : Centre::kWorks;
  const Centre centre = last_.kind == Kind::kRefused ? answered : unanswered;
  if (unanswered_) {
    const std::string others =
        last_.kind == Kind::kLost ? ""
                                  : "a call to the central tokend had no answer; what came of the last one: ";
    return End(Indeterminate{{.reason = Reason::kOutcomeUnknown, .detail = others + failure.detail}, nullptr},
               centre);
  }
  // A validation creates nothing, even if its answer was lost.
  if (last_.kind == Kind::kLost) return End(Refused{CentreUnreachable(failure.detail)}, centre);
  End(Refused{rejected ? CentreRejectsRelay() : failure}, centre);
}

void RelayedRequest::End(MintResult result, Centre centre) {
  const auto self = shared_from_this();
  Become(Stage::kEnded);
  deadline_.Cancel();
  next_.Cancel();
  relay_.requests.erase(self);
  MintOutcome outcome{std::move(result), {}};
  const Failure* const failure = FailureOf(outcome.result);
  const auto took = relay_.loop.clock().Now() - began_;
  outcome.exchange = {.http_status = last_answered_ ? kHttpStatusOfGrpc : 0,
                      .error_code = failure != nullptr ? failure->upstream_code : std::nullopt,
                      .latency = std::chrono::floor<std::chrono::microseconds>(took),
                      .key_generation = credentials_,
                      .centre = centre};
  std::exchange(done_, nullptr)(std::move(outcome));
}

void RelayedRequest::Become(Stage next) {
  using enum Stage;
  [[maybe_unused]] static constexpr std::pair<Stage, Stage> kLegal[] = {
      {kWaiting, kCalling}, {kWaiting, kEnded}, {kCalling, kCalling},
      {kCalling, kWaiting}, {kCalling, kEnded},
  };
  assert(std::ranges::count(kLegal, std::pair(stage_, next)) == 1);
  stage_ = next;
}

}  // namespace tokend::upstream
