#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>

#include "tests/fakes/applivery_api.h"
#include "tests/fakes/fake_applivery.h"

namespace tokend::fakes {
namespace {

constexpr std::string_view kHtml = "<html><body><h1>502 Bad Gateway</h1></body></html>";

std::optional<int> Number(std::string_view text) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || rest != end || error != std::errc() || value < 0) return std::nullopt;
  return value;
}

std::optional<int> StatusNumber(std::string_view text) {
  const std::optional<int> status = Number(text);
  return status && *status >= 200 && *status <= 599 ? status : std::nullopt;
}

// The answer that Applivery, or the proxy in front of it, gives with this status.
Fault Usual(int status) {
  switch (status) {
    case 400:
      return Fault::Error(400, 5014);
    case 401:
      return Fault::Error(401, 4004);
    case 404:
      return Fault::Error(404, 3001);
    case 429:
      return Fault::RateLimited("");
    case 502:
      return Fault::Status(502, std::string(kHtml), "text/html");
    default:
      if (status >= 400) return Fault::Error(status, status);
      if (status >= 300) return Fault::Redirect(status);
      return Fault::Status(status, std::string(kSuccessBody));
  }
}

struct Simple {
  std::string_view kind;
  Action action;
};

constexpr std::array<Simple, 11> kSimple = {{
    {"black-hole", Action::kBlackHole},
    {"drop", Action::kDrop},
    {"cut", Action::kCut},
    {"reset", Action::kReset},
    {"header-then-drop", Action::kHeaderThenDrop},
    {"half-body-then-drop", Action::kHalfBodyThenDrop},
    {"answer-then-close", Action::kAnswerThenClose},
    {"goaway-below", Action::kGoAwayBelow},
    {"listener-gone", Action::kListenerGone},
    {"malformed", Action::kMalformed},
    {"none", Action::kAnswer},
}};

struct Numbered {
  std::string_view kind;
  std::string_view argument;
  std::optional<Fault> (*make)(std::string_view argument);
};

template <Fault (*Make)(int)>
std::optional<Fault> WithStatus(std::string_view text) {
  const std::optional<int> status = StatusNumber(text);
  return status ? std::optional(Make(*status)) : std::nullopt;
}

template <Fault (*Make)(int)>
std::optional<Fault> WithNumber(std::string_view text) {
  const std::optional<int> number = Number(text);
  return number ? std::optional(Make(*number)) : std::nullopt;
}

constexpr std::array<Numbered, 11> kNumbered = {{
    {"status", "STATUS", WithStatus<Usual>},
    {"early", "STATUS", WithStatus<[](int status) { return Usual(status).BeforeBody(); }>},
    {"early-reset", "STATUS", WithStatus<[](int status) { return Usual(status).BeforeBodyThenReset(); }>},
    {"echo-authorization", "STATUS", WithStatus<Fault::EchoAuthorization>},
    {"redirect", "STATUS", WithStatus<Fault::Redirect>},
    {"code", "CODE", WithNumber<[](int code) { return Fault::Error(200, code); }>},
    {"delay", "MS", WithNumber<[](int ms) { return Fault::None().After(std::chrono::milliseconds(ms)); }>},
    {"oversized", "BYTES",
     WithNumber<[](int bytes) { return Fault::Oversized(static_cast<std::size_t>(bytes)); }>},
    {"rst-stream", "HTTP2_ERROR",
     WithNumber<[](int error) { return Fault::StreamReset(static_cast<std::uint32_t>(error)); }>},
    {"retry-after", "VALUE",
     [](std::string_view value) { return std::optional(Fault::RateLimited(std::string(value))); }},
    {"body", "TEXT", [](std::string_view text) { return std::optional(Fault::Success(std::string(text))); }},
}};

}  // namespace

Fault Fault::After(std::chrono::milliseconds wait) const {
  Fault fault = *this;
  fault.delay = wait;
  return fault;
}

Fault Fault::BeforeBody() const {
  Fault fault = *this;
  fault.early = true;
  return fault;
}

Fault Fault::BeforeBodyThenReset() const {
  Fault fault = BeforeBody();
  fault.reset_after_answer = true;
  return fault;
}

Fault Fault::Minting(bool yes) const {
  Fault fault = *this;
  fault.minting = yes;
  return fault;
}

Fault Fault::WithHeader(std::string name, std::string value) const {
  Fault fault = *this;
  if (!fault.answer) fault.answer = Answer{.status = 200, .body = std::string(kSuccessBody), .headers = {}};
  fault.answer->headers.emplace_back(std::move(name), std::move(value));
  return fault;
}

Fault Fault::WithAction(Action does) const {
  Fault fault = *this;
  fault.action = does;
  return fault;
}

Fault Fault::None() { return {}; }

Fault Fault::Of(Action action) {
  Fault fault;
  fault.action = action;
  return fault;
}

Fault Fault::StreamReset(std::uint32_t http2_error) {
  Fault fault = Of(Action::kStreamReset);
  fault.http2_error = http2_error;
  return fault;
}

Fault Fault::Status(int status, std::string body, std::string content_type) {
  Fault fault;
  fault.answer = Answer{.status = status, .body = std::move(body), .headers = {}};
  return fault.WithHeader("content-type", std::move(content_type));
}

Fault Fault::Error(int status, int code) { return Status(status, ErrorBody(code)); }

Fault Fault::Success(std::string body) { return Status(200, std::move(body)); }

Fault Fault::SuccessReplacing(std::string_view from, std::string_view to) {
  std::string body(kSuccessBody);
  const std::size_t at = body.find(from);
  if (at == std::string::npos) throw std::invalid_argument("the ordinary answer holds no such text");
  return Success(body.replace(at, from.size(), to));
}

Fault Fault::Oversized(std::size_t bytes) {
  std::string body(kSuccessBody);
  body.pop_back();
  return Success(body + R"(,"padding":")" + std::string(bytes, 'x') + R"("})");
}

Fault Fault::RateLimited(std::string retry_after) {
  const Fault fault = Error(429, 429);
  return retry_after.empty() ? fault : fault.WithHeader("retry-after", std::move(retry_after));
}

Fault Fault::Redirect(int status) { return Status(status, "").WithHeader("location", "/v1/redirected"); }

Fault Fault::EchoAuthorization(int status) {
  return Status(status, R"({"status":false,"error":{"code":4004,"message":"{authorization}"}})")
      .WithHeader("x-authorization", "{authorization}");
}

std::optional<Fault> Fault::Parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  if (colon == std::string_view::npos) {
    for (const Simple& simple : kSimple) {
      if (simple.kind == kind) return Of(simple.action);
    }
    return std::nullopt;
  }
  for (const Numbered& numbered : kNumbered) {
    if (numbered.kind == kind) return numbered.make(text.substr(colon + 1));
  }
  return std::nullopt;
}

std::string FaultKinds() {
  std::string lines;
  for (const Simple& simple : kSimple) lines += std::string(simple.kind) + "\n";
  for (const Numbered& numbered : kNumbered) {
    lines += std::string(numbered.kind) + ":" + std::string(numbered.argument) + "\n";
  }
  return lines;
}

}  // namespace tokend::fakes
