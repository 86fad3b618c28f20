#include "daemon/upstream/answer.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "daemon/base/form.h"
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

Refused Refuse(Reason reason, std::string detail, const AnswerBody& body) {
  return {MakeFailure(reason, std::move(detail), body)};
}

std::string Answered(int status) { return "upstream answered " + std::to_string(status); }

Refused RateLimited(const HttpAnswer& answer, const AnswerBody& body) {
  Refused refused = Refuse(Reason::kUpstreamRateLimited, Answered(answer.status), body);
  if (answer.retry_after) {
    refused.failure.retry_after = std::clamp(*answer.retry_after, seconds(0), kMaxRetryAfter);
  }
  return refused;
}

// A status from 300 to 499 means by itself that there is no token. Only a 404 also depends on the error code,
// which may be unreadable.
Refused JudgeRefusal(const HttpAnswer& answer, const AnswerBody& body) {
  const std::string detail = Answered(answer.status);
  switch (answer.status) {
    case 429:
      return RateLimited(answer, body);
    case 401:
      return Refuse(Reason::kUpstreamKeyRejected, detail, body);
    case 403:
      return Refuse(Reason::kUpstreamForbidden, detail, body);
    case 404: {
      const bool other_code = body.valid && body.error_code.value_or(kEntityNotFound) != kEntityNotFound;
      return Refuse(other_code ? Reason::kUpstreamRejected : Reason::kApplicationNotFound, detail, body);
    }
    default:
      return Refuse(Reason::kUpstreamRejected, detail, body);
  }
}

// A 2xx that says `status: false`.
Refused JudgeByCode(int status, const AnswerBody& body) {
  const std::string detail = Answered(status) + " with status false";
  const std::int64_t code = body.error_code.value_or(0);
  if (code == kEntityNotFound) return Refuse(Reason::kApplicationNotFound, detail, body);
  if (std::count(std::begin(kKeyRejected), std::end(kKeyRejected), code) > 0) {
    return Refuse(Reason::kUpstreamKeyRejected, detail, body);
  }
  return Refuse(Reason::kUpstreamRejected, detail, body);
}

// Whether an answer is about another resource. If the request named it by its id, the answer must have the
// same id; if by a slug, the answer's id may be any.
bool Contradicts(const std::optional<std::string>& answered, const std::string& asked) {
  return answered.has_value() && IsObjectId(asked) && !absl::EqualsIgnoreCase(*answered, asked);
}

// What is wrong with an answer that says success; empty if it is right.
std::string_view FaultOf(const HttpAnswer& answer, const AnswerBody& body, const MintRequest& request) {
  if (answer.sent == Sent::kNo) return "before the request was sent";
  if (answer.ending == Ending::kTooLarge) return "with a body over max_response_size";
  if (!body.valid) return "with a body that is not the documented JSON";
  if (answer.status != 200 && answer.status != 201) return "which is not documented";
  if (body.status != AnswerBody::Status::kTrue) return "without status true";
  if (body.id.value_or("").empty()) return "without a valid id";
  if (!body.bearer.has_value()) return "without a valid bearer";
  if (Contradicts(body.organization, request.organization)) return "for another organization";
  if (Contradicts(body.application, request.application)) return "for another application";
  if (body.scopes_kind == AnswerBody::Scopes::kOther) return "with scopes that were not asked for";
  return {};
}

std::shared_ptr<const Token> MakeToken(AnswerBody body, const MintRequest& request) {
  auto token = std::make_shared<Token>();
  token->id = body.id.value_or("");
  token->organization = body.organization.value_or("");
  token->application = body.application.value_or("");
  token->description = request.description;
  token->scopes = request.scopes;
  if (body.scopes_kind == AnswerBody::Scopes::kAsked) token->scopes = std::move(body.scopes);
  token->bearer = *std::move(body.bearer);
  return token;
}

Indeterminate Unknown(std::string detail, const AnswerBody& body) {
  return {MakeFailure(Reason::kOutcomeUnknown, std::move(detail), body), nullptr};
}

std::variant<Minted, Refused, Indeterminate> JudgeSuccess(const HttpAnswer& answer, AnswerBody body,
                                                          const MintRequest& request) {
  const std::string_view fault = FaultOf(answer, body, request);
  if (fault.empty()) return Minted{MakeToken(std::move(body), request)};
  std::string detail = Answered(answer.status).append(" ").append(fault);
  Indeterminate result{MakeFailure(Reason::kUpstreamInvalidResponse, std::move(detail), body), nullptr};
  if (body.bearer.has_value()) result.withheld = MakeToken(std::move(body), request);
  return result;
}

std::variant<Minted, Refused, Indeterminate> JudgeSilence(const HttpAnswer& answer) {
  if (answer.sent == Sent::kYes) return Unknown("no answer: " + answer.error, {});
  Refused refused = Refuse(Reason::kUpstreamUnavailable, "nothing was sent: " + answer.error, {});
  refused.failure.retry_after = kRetryAfter;
  return refused;
}

std::variant<Minted, Refused, Indeterminate> JudgeStatus(const HttpAnswer& answer, AnswerBody body,
                                                         const MintRequest& request) {
  const int status = answer.status;
  if (status == 0) return JudgeSilence(answer);
  if (status >= 500 && status < 600) return Unknown(Answered(status), body);
  if (status >= 300 && status < 500) return JudgeRefusal(answer, body);
  const bool success = status >= 200 && status < 300;
  const bool broke_off = answer.ending == Ending::kBroken || answer.ending == Ending::kStopped;
  if (success && broke_off && answer.sent == Sent::kYes) {
    return Unknown(Answered(status) + " and broke off: " + answer.error, body);
  }
  if (success && body.valid && body.status == AnswerBody::Status::kFalse) return JudgeByCode(status, body);
  return JudgeSuccess(answer, std::move(body), request);
}

}  // namespace

MintOutcome Judge(const HttpAnswer& answer, const MintRequest& request) {
  AnswerBody body;
  if (answer.ending == Ending::kComplete) body = ReadAnswerBody(answer.body, request.scopes);
  UpstreamExchange exchange;
  exchange.http_status = answer.status;
  exchange.latency = answer.latency;
  if (body.valid) exchange.error_code = body.error_code;
  return {JudgeStatus(answer, std::move(body), request), exchange};
}

}  // namespace tokend::upstream
