#include "daemon/rpc/wire_text.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace tokend::rpc {
namespace {

constexpr std::size_t kMaxTimeoutDigits = 8;
constexpr std::string_view kContentType = "application/grpc";
constexpr std::string_view kProtoSuffix = "+proto";
constexpr char kHexDigits[] = "0123456789ABCDEF";

using Unit = std::pair<char, std::chrono::nanoseconds>;
constexpr Unit kTimeoutUnits[] = {
    {'H', std::chrono::hours(1)},        {'M', std::chrono::minutes(1)},
    {'S', std::chrono::seconds(1)},      {'m', std::chrono::milliseconds(1)},
    {'u', std::chrono::microseconds(1)}, {'n', std::chrono::nanoseconds(1)},
};

bool IsBase64(std::string_view value) {
  std::size_t padding = 0;
  while (padding < 2 && !value.empty() && value.back() == '=') {
    value.remove_suffix(1);
    ++padding;
  }
  const bool of_its_letters = std::ranges::all_of(
      value, [](unsigned char c) { return absl::ascii_isalnum(c) || c == '+' || c == '/'; });
  const bool whole = value.size() % 4 != 1 && (padding == 0 || (value.size() + padding) % 4 == 0);
  return of_its_letters && whole;
}

}  // namespace

std::optional<std::chrono::nanoseconds> ParseTimeout(std::string_view value) {
  if (value.size() < 2 || value.size() > kMaxTimeoutDigits + 1) return std::nullopt;
  const auto* const unit = std::ranges::find(kTimeoutUnits, value.back(), &Unit::first);
  if (unit == std::end(kTimeoutUnits)) return std::nullopt;
  value.remove_suffix(1);
  std::uint32_t count = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  if (count > kLongestTimeout / unit->second) return kLongestTimeout;
  return count * unit->second;
}

std::string PercentEncode(std::string_view message) {
  std::string encoded;
  encoded.reserve(message.size());
  for (const char c : message) {
    if (c >= ' ' && c <= '~' && c != '%') {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kHexDigits[byte >> 4U], kHexDigits[byte & 15U]};
    }
  }
  return encoded;
}

std::string EncodeBinary(std::string_view bytes) {
  std::string encoded = absl::Base64Escape({bytes.data(), bytes.size()});
  while (!encoded.empty() && encoded.back() == '=') encoded.pop_back();
  return encoded;
}

bool IsBinary(std::string_view value) {
  for (;;) {
    const std::size_t comma = value.find(',');
    if (!IsBase64(value.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    value.remove_prefix(comma + 1);
  }
}

std::string TraceIdOf(std::string_view traceparent) {
  // version "-" trace-id "-" parent-id "-" flags; a version after 00 may have more behind a further "-"
  constexpr std::string_view kShape = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
  constexpr std::string_view kLowerHexDigits = "0123456789abcdef";
  const auto is_zero = [](std::string_view digits) {
    return digits.find_first_not_of('0') == std::string_view::npos;
  };
  if (traceparent.size() < kShape.size()) return {};
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    const bool fits = kShape[i] == '-' ? traceparent[i] == '-'
                                       : kLowerHexDigits.find(traceparent[i]) != std::string_view::npos;
    if (!fits) return {};
  }
  const std::string_view version = traceparent.substr(0, 2);
  const std::string_view more = traceparent.substr(kShape.size());
  if (version == "ff" || (!more.empty() && (version == "00" || more.front() != '-'))) return {};
  const std::string_view trace_id = traceparent.substr(3, 32);
  if (is_zero(trace_id) || is_zero(traceparent.substr(36, 16))) return {};
  return std::string(trace_id);
}

bool IsGrpc(std::string_view content_type) {
  if (!content_type.starts_with(kContentType)) return false;
  content_type.remove_prefix(kContentType.size());
  if (content_type.starts_with(kProtoSuffix)) content_type.remove_prefix(kProtoSuffix.size());
  return content_type.empty() || content_type.front() == ';' || content_type.front() == ' ';
}

}  // namespace tokend::rpc
