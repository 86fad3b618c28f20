#include "daemon/base/form.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "daemon/base/text.h"

namespace tokend {
namespace {

constexpr std::string_view kUuidShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

// How many bytes the first UTF-8 sequence of `text` has; 0 if it is ill-formed (Unicode 15, table 3-7).
std::size_t SequenceLength(std::string_view text) {
  auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  auto continues = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = first == 0xED ? 0x9F : 0xBF;
    return byte(1) >= low && byte(1) <= high && continues(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
    return byte(1) >= low && byte(1) <= high && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

bool IsObjectId(std::string_view text) {
  return text.size() == 24 && std::all_of(text.begin(), text.end(), IsHexDigit);
}

bool IsResourceName(std::string_view text) { return text.size() >= 3 && ConsistsOf(text, 128, "-"); }

bool IsScope(std::string_view text) { return ConsistsOf(text, 64, "._:-"); }

bool IsBearer(std::string_view text) {
  return !text.empty() && text.size() <= kMaxBearerBytes && IsPrintableAscii(text);
}

std::optional<std::string> ParseUuid(std::string_view text) {
  if (text.size() != kUuidShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool fits = kUuidShape[i] == '-' ? text[i] == '-' : IsHexDigit(text[i]);
    if (!fits) return std::nullopt;
  }
  return Lower(text);
}

std::string MakeUuid() {
  std::array<unsigned char, 16> bytes;
  // Without random numbers two requests could get the same id, so the daemon must stop.
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) std::abort();
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3F) | 0x80);
  const std::string hex = Hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  std::string uuid(kUuidShape);
  std::size_t next = 0;
  for (char& c : uuid) {
    if (c != '-') c = hex[next++];
  }
  return uuid;
}

std::optional<std::size_t> Utf16Length(std::string_view utf8) {
  std::size_t units = 0;
  while (!utf8.empty()) {
    const std::size_t length = SequenceLength(utf8);
    if (length == 0) return std::nullopt;
    units += length == 4 ? 2 : 1;
    utf8.remove_prefix(length);
  }
  return units;
}

bool HasControlCharacters(std::string_view utf8) {
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto first = static_cast<unsigned char>(utf8[i]);
    if (first < 0x20 || first == 0x7F) return true;
    const std::string_view rest = utf8.substr(i + 1);
    const auto last = [rest](std::size_t at) { return static_cast<unsigned char>(rest[at]); };
    if (first == 0xC2 && !rest.empty() && last(0) <= 0x9F) return true;
    if (first != 0xE2 || rest.size() < 2) continue;
    if (rest[0] == '\x80' && last(1) >= 0xAA && last(1) <= 0xAE) return true;
    if (rest[0] == '\x81' && last(1) >= 0xA6 && last(1) <= 0xA9) return true;
  }
  return false;
}

std::string_view CutUtf8(std::string_view utf8, std::size_t bytes) {
  if (utf8.size() <= bytes) return utf8;
  while (bytes > 0 && (static_cast<unsigned char>(utf8[bytes]) & 0xC0U) == 0x80U) --bytes;
  return utf8.substr(0, bytes);
}

std::string Hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex(bytes.size() * 2, '0');
  char* next = hex.data();
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    *next++ = kDigits[byte >> 4U];
    *next++ = kDigits[byte & 0x0FU];
  }
  return hex;
}

}  // namespace tokend
