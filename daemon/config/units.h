#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

// Numbers with units as the configuration writes them. Parsers refuse signs, spaces, fractions and leading
// zeros. A number that needs more than 63 bits becomes kMaxNumber, which every bound refuses.
namespace tokend::config {

inline constexpr std::uint64_t kMaxNumber = std::numeric_limits<std::int64_t>::max();

std::optional<std::uint64_t> ParseNumber(std::string_view text);

// "250ms", "30s", "10m", "24h", in milliseconds. Formatted with the largest unit that leaves a whole number.
std::optional<std::uint64_t> ParseDuration(std::string_view text);
std::string FormatDuration(std::uint64_t milliseconds);

// "64KiB", "256MiB", "1GiB", in bytes. Formats multiples of 1 KiB.
std::optional<std::uint64_t> ParseSize(std::string_view text);
std::string FormatSize(std::uint64_t bytes);

// Four octal digits, the first a 0, since YAML tools turn a bare 0660 into 432: "0660".
std::optional<std::uint64_t> ParseMode(std::string_view text);
std::string FormatMode(std::uint64_t mode);

}  // namespace tokend::config
