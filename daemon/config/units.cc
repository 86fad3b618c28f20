#include "daemon/config/units.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "daemon/base/text.h"

namespace tokend::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
// Largest first.
constexpr std::array<Unit, 4> kDurations = {{{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Unit, 3> kSizes = {{{"GiB", 1ULL << 30U}, {"MiB", 1ULL << 20U}, {"KiB", 1ULL << 10U}}};

template <std::size_t N>
std::optional<std::uint64_t> ParseWithUnit(std::string_view text, const std::array<Unit, N>& units) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = ParseNumber(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const Unit& unit : units) {
    if (text.substr(digits) != unit.name) continue;
    return *number > kMaxNumber / unit.factor ? kMaxNumber : *number * unit.factor;
  }
  return std::nullopt;
}

template <std::size_t N>
std::string FormatWithUnit(std::uint64_t value, const std::array<Unit, N>& units) {
  const auto* chosen = std::find_if(units.begin(), units.end() - 1, [value](const Unit& unit) {
    return value != 0 && value % unit.factor == 0;
  });
  return Concat({std::to_string(value / chosen->factor), chosen->name});
}

}  // namespace

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  return error == std::errc::result_out_of_range ? kMaxNumber : std::min(number, kMaxNumber);
}

std::optional<std::uint64_t> ParseDuration(std::string_view text) { return ParseWithUnit(text, kDurations); }
std::string FormatDuration(std::uint64_t milliseconds) {
  return milliseconds == 0 ? "0s" : FormatWithUnit(milliseconds, kDurations);
}

std::optional<std::uint64_t> ParseSize(std::string_view text) { return ParseWithUnit(text, kSizes); }
std::string FormatSize(std::uint64_t bytes) { return FormatWithUnit(bytes, kSizes); }

std::optional<std::uint64_t> ParseMode(std::string_view text) {
  if (text.size() != 4 || text.front() != '0') return std::nullopt;
  std::uint64_t mode = 0;
  const char* const end = text.data() + text.size();
  return std::from_chars(text.data(), end, mode, 8).ptr == end ? std::optional(mode) : std::nullopt;
}

std::string FormatMode(std::uint64_t mode) {
  std::string digits(4, '0');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, mode /= 8) {
    *digit = static_cast<char>('0' + mode % 8);
  }
  return digits;
}

}  // namespace tokend::config
