#include "daemon/upstream/answer.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/upstream/answer_body.h"

namespace tokend::upstream {
namespace {

using loop::Ending;
using loop::HttpAnswer;
using loop::Sent;
using std::chrono::seconds;

constexpr seconds kRetryAfter{1};  // if nothing was sent
constexpr seconds kMaxRetryAfter{3600};

constexpr std::int64_t kEntityNotFound = 3001;
constexpr std::int64_t kKeyRejected[] = {3002, 4001, 4002, 4004};

Failure MakeFailure(Reason reason, std::string detail, const AnswerBody& body) {
  Failure failure{.reason = reason, .detail = std::move(detail)};
  if (body.valid) failure.upstream_code = body.error_code;
  return failure;
}

std::string Answered(int status) { return "upstream answered " + std::to_string(status); }

// A status from 300 to 499 means by itself that there is no token. Only a 404 also depends on the error code,
// which may be unreadable.
Reason ReasonOfStatus(int status, const AnswerBody& body) {
  if (status == 429) return Reason::kUpstreamRateLimited;
  if (status == 401) return Reason::kUpstreamKeyRejected;
  if (status == 403) return Reason::kUpstreamForbidden;
  const bool other_code = body.valid && body.error_code.value_or(kEntityNotFound) != kEntityNotFound;
  return status == 404 && !other_code ? Reason::kApplicationNotFound : Reason::kUpstreamRejected;
}

// Whether Applivery itself has made this refusal, as far as its body shows.
bool IsApplivery(const AnswerBody& body) {
  return body.valid && (body.status.has_value() || body.error_code.has_value());
}

Refused JudgeRefusal(const HttpAnswer& answer, const AnswerBody& body) {
  const Reason reason = ReasonOfStatus(answer.status, body);
  Refused refused{MakeFailure(reason, Answered(answer.status), body)};
  if (answer.status == 404 && !IsApplivery(body)) {
    refused.failure.detail += " without Applivery's JSON: does base_url lead to Applivery?";
  }
  if (reason == Reason::kUpstreamRateLimited && answer.retry_after) {
    refused.failure.retry_after = std::clamp(*answer.retry_after, seconds(0), kMaxRetryAfter);
  }
  return refused;
}

// Of a 2xx that says `status: false`.
Reason ReasonOfCode(std::int64_t code) {
  if (code == kEntityNotFound) return Reason::kApplicationNotFound;
  const bool rejects_key = std::ranges::find(kKeyRejected, code) != std::end(kKeyRejected);
  return rejects_key ? Reason::kUpstreamKeyRejected : Reason::kUpstreamRejected;
}

// What is wrong with an answer that says success; empty if it is right.
std::string_view FaultOf(const HttpAnswer& answer, const AnswerBody& body, const MintRequest& request) {
  if (answer.sent == Sent::kNo) return "before the request was sent";
  if (answer.encoded) return "with a Content-Encoding, although the request said identity";
  if (answer.ending == Ending::kTooLarge) return "with a body over max_response_size";
  if (!body.valid) return "with a body that is not the documented JSON";
  if (answer.status != 200 && answer.status != 201) return "which is not documented";
  if (body.status != true) return "without status true";
  return FaultOf(body.token, request);
}

Indeterminate Unknown(std::string detail, const AnswerBody& body) {
  return {MakeFailure(Reason::kOutcomeUnknown, std::move(detail), body), nullptr};
}

MintResult JudgeSuccess(const HttpAnswer& answer, AnswerBody body, const MintRequest& request) {
  const std::string_view fault = FaultOf(answer, body, request);
  if (fault.empty()) return Minted{MakeToken(std::move(body.token), request)};
  std::string detail = Answered(answer.status).append(" ").append(fault);
  Indeterminate result{MakeFailure(Reason::kUpstreamInvalidResponse, std::move(detail), body), nullptr};
  if (body.token.bearer.has_value()) result.withheld = MakeToken(std::move(body.token), request);
  return result;
}

MintResult JudgeSilence(const HttpAnswer& answer) {
  if (answer.sent == Sent::kYes) return Unknown("no answer: " + answer.error, {});
  return Refused{{.reason = Reason::kUpstreamUnavailable,
                  .detail = "nothing was sent: " + answer.error,
                  .retry_after = kRetryAfter}};
}

MintResult JudgeStatus(const HttpAnswer& answer, AnswerBody body, const MintRequest& request) {
  const int status = answer.status;
  if (status == 0) return JudgeSilence(answer);
  if (status >= 500 && status < 600) return Unknown(Answered(status), body);
  if (status >= 300 && status < 500) return JudgeRefusal(answer, body);
  const bool success = status >= 200 && status < 300;
  const bool broke_off = answer.ending == Ending::kBroken || answer.ending == Ending::kStopped;
  if (success && broke_off && answer.sent == Sent::kYes) {
    return Unknown(Answered(status) + " and broke off: " + answer.error, body);
  }
  if (success && body.valid && body.status == false) {
    const Reason reason = ReasonOfCode(body.error_code.value_or(0));
    return Refused{MakeFailure(reason, Answered(status) + " with status false", body)};
  }
  return JudgeSuccess(answer, std::move(body), request);
}

}  // namespace

MintOutcome Judge(const HttpAnswer& answer, const MintRequest& request) {
  AnswerBody body;
  if (answer.ending == Ending::kComplete && !answer.encoded)
    body = ReadAnswerBody(answer.body, request.scopes);
  const UpstreamExchange exchange{.http_status = answer.status,
                                  .error_code = body.valid ? body.error_code : std::nullopt,
                                  .latency = answer.latency};
  return {JudgeStatus(answer, std::move(body), request), exchange};
}

}  // namespace tokend::upstream
