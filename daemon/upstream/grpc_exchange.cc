#include "daemon/upstream/grpc_exchange.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "daemon/base/text.h"

namespace tokend::upstream {
namespace {

constexpr char kContentType[] = "content-type";
constexpr char kStatus[] = "grpc-status";
constexpr char kDetails[] = "grpc-status-details-bin";

constexpr int kHttpOk = 200;
constexpr int kLastGrpcStatus = 16;

// The value of a field. Nothing: the answer has no such field, or several.
std::optional<std::string_view> OnlyValue(const loop::HttpAnswer& answer, std::string_view name,
                                          bool in_trailer) {
  std::optional<std::string_view> value;
  for (const loop::AnswerField& field : answer.fields) {
    if (field.name != name || field.in_trailer != in_trailer) continue;
    if (value) return std::nullopt;
    value = field.value;
  }
  return value;
}

bool IsGrpc(std::string_view content_type) {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!content_type.starts_with(kGrpc)) return false;
  content_type.remove_prefix(kGrpc.size());
  return content_type.empty() || content_type.front() == '+' || content_type.front() == ';';
}

std::optional<int> StatusIn(std::string_view text) {
  if (text.empty() || text.size() > 2 || !std::ranges::all_of(text, IsDigit)) return std::nullopt;
  int status = 0;
  for (const char digit : text) status = 10 * status + (digit - '0');
  return status <= kLastGrpcStatus ? std::optional(status) : std::nullopt;
}

// Base64 with or without padding.
std::optional<std::string> Decode(std::string_view text) {
  const std::string_view digits = text.substr(0, text.find('='));
  const std::string_view padding = text.substr(digits.size());
  if (padding.size() > 2 || padding != std::string_view("==").substr(0, padding.size())) return std::nullopt;
  if (!padding.empty() && text.size() % 4 != 0) return std::nullopt;
  const auto is_digit = [](char c) { return IsAlphanumeric(c) || c == '+' || c == '/'; };
  std::string decoded;
  if (!std::ranges::all_of(digits, is_digit) ||
      !absl::Base64Unescape({digits.data(), digits.size()}, &decoded)) {
    return std::nullopt;
  }
  return decoded;
}

// The message in a body. Nothing: the body is anything else than one message without compression.
std::optional<std::string_view> OnlyMessage(std::string_view body) {
  if (body.size() < kGrpcPrefixBytes || body.front() != '\0') return std::nullopt;
  std::size_t size = 0;
  for (std::size_t i = 1; i < kGrpcPrefixBytes; ++i)
    size = (size << 8U) | static_cast<unsigned char>(body[i]);
  body.remove_prefix(kGrpcPrefixBytes);
  return body.size() == size ? std::optional(body) : std::nullopt;
}

// Returns what is wrong with the answer, or an empty text for a valid answer.
std::string ReadAnswer(const loop::HttpAnswer& answer, CentralAnswer& into) {
  if (answer.status != kHttpOk) return "it answered with HTTP status " + std::to_string(answer.status);
  const auto type = OnlyValue(answer, kContentType, false);
  if (!type || !IsGrpc(*type) || answer.encoded) return "its answer is not gRPC";
  const bool has_trailer = std::ranges::any_of(answer.fields, &loop::AnswerField::in_trailer);
  // An answer without a body may hold the status in its header.
  const bool in_trailer = has_trailer || !answer.body.empty();
  const auto status_text = OnlyValue(answer, kStatus, in_trailer);
  const auto status = status_text ? StatusIn(*status_text) : std::nullopt;
  if (!status) return "its answer has no valid grpc-status";
  if (*status == kGrpcOk) {
    const auto message = OnlyMessage(answer.body.Expose());
    if (!message) return "its answer is not one message without compression";
    into.message = Secret(*message);
  } else if (const auto text = OnlyValue(answer, kDetails, in_trailer)) {
    std::optional<std::string> details = Decode(*text);
    if (!details) return "its grpc-status-details-bin is not base64";
    into.details = *std::move(details);
  }
  into.status = status;
  return "";
}

}  // namespace

std::vector<std::string> GrpcAnswerFields() { return {kContentType, kStatus, kDetails}; }

std::string FrameMessage(std::string_view message) {
  std::string framed(1, '\0');
  const auto size = static_cast<std::uint32_t>(message.size());
  for (const unsigned shift : {24U, 16U, 8U, 0U}) framed += static_cast<char>((size >> shift) & 0xFFU);
  return framed.append(message);
}

std::string GrpcTimeout(std::chrono::milliseconds timeout) {
  constexpr std::int64_t kMost = 99'999'999;  // eight digits
  if (timeout.count() <= kMost) return std::to_string(timeout.count()) + "m";
  const auto seconds = std::chrono::floor<std::chrono::seconds>(timeout).count();
  return std::to_string(std::min<std::int64_t>(seconds, kMost)) + "S";
}

bool IsMetadata(std::string_view name, std::string_view value) {
  const auto in_name = [](char c) { return IsDigit(c) || (c >= 'a' && c <= 'z') || Contains("-_.", c); };
  const bool reserved = name.starts_with("grpc-") || name == "te" || name == kContentType ||
                        name == "user-agent" || name == "authorization" || name == "accept";
  return !name.empty() && !reserved && std::ranges::all_of(name, in_name) && !value.empty() &&
         IsPrintableAscii(value);
}

void JudgeGrpcAnswer(const loop::HttpAnswer& answer, std::string_view server, CentralAnswer& into) {
  if (answer.ending != loop::Ending::kComplete) {
    into.error = answer.error.starts_with(server) ? answer.error : Concat({server, ": ", answer.error});
    return;
  }
  if (const std::string wrong = ReadAnswer(answer, into); !wrong.empty()) {
    into.status.reset();
    into.message = Secret();
    into.error = Concat({server, ": ", wrong});
  }
}

}  // namespace tokend::upstream
