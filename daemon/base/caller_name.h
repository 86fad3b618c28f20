#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "daemon/base/text.h"

// The syntax of callers' names, for every kind of authentication.
namespace tokend {

// The longest name. Names of Kubernetes service accounts have up to 339 bytes.
inline constexpr std::size_t kMaxCallerNameBytes = 512;

// 1 to 512 printable ASCII characters without spaces.
inline bool IsCallerName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxCallerNameBytes && IsVisibleAscii(text);
}

// Prefixes of names that only one kind of authentication may give to a caller.
inline constexpr std::string_view kSpiffePrefix = "spiffe://";
inline constexpr std::string_view kDnsPrefix = "dns:";
inline constexpr std::string_view kUnixPrefix = "unix:";
inline constexpr std::array<std::string_view, 3> kReservedPrefixes = {kSpiffePrefix, kDnsPrefix, kUnixPrefix};

// The entry of kReservedPrefixes that begins the name; empty if there is none.
constexpr std::string_view ReservedPrefixOf(std::string_view name) {
  for (const std::string_view prefix : kReservedPrefixes) {
    if (name.starts_with(prefix)) return prefix;
  }
  return {};
}

// A SPIFFE trust domain: 1 to 255 characters of [a-z0-9._-].
inline bool IsTrustDomain(std::string_view text) {
  return ConsistsOf(text, 255, ".-_") && Lower(text) == text;
}

}  // namespace tokend
