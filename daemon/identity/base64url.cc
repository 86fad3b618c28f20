#include "daemon/identity/base64url.h"

#include <cstdint>

namespace tokend::identity {
namespace {

constexpr int kBitsOfDigit = 6;
constexpr int kBitsOfByte = 8;

int DigitOf(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  if (c == '_') return 63;
  return -1;
}

}  // namespace

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int digit = DigitOf(c);
    if (digit < 0) return std::nullopt;
    bits = (bits << kBitsOfDigit) | static_cast<std::uint32_t>(digit);
    held += kBitsOfDigit;
    if (held < kBitsOfByte) continue;
    held -= kBitsOfByte;
    bytes += static_cast<char>(bits >> held);
    bits &= (1U << held) - 1;
  }
  const bool one_digit_too_many = held == kBitsOfDigit;
  if (one_digit_too_many || bits != 0) return std::nullopt;
  return bytes;
}

}  // namespace tokend::identity
