#pragma once

#include <array>
#include <string_view>

// The syntax of callers' names, for every kind of authentication.
namespace tokend {

// 1 to 256 printable ASCII characters without spaces.
bool IsCallerName(std::string_view text);

// Prefixes of names that only one kind of authentication may give to a caller.
inline constexpr std::string_view kSpiffePrefix = "spiffe://";
inline constexpr std::string_view kDnsPrefix = "dns:";
inline constexpr std::string_view kUnixPrefix = "unix:";
inline constexpr std::array<std::string_view, 3> kReservedPrefixes = {kSpiffePrefix, kDnsPrefix, kUnixPrefix};

// The entry of kReservedPrefixes that begins the name; empty if there is none.
std::string_view ReservedPrefixOf(std::string_view name);

// A SPIFFE trust domain: 1 to 255 characters of [a-z0-9._-].
bool IsTrustDomain(std::string_view text);

}  // namespace tokend
