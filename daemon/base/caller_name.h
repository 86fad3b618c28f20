#pragma once

#include <array>
#include <string_view>

// The form that callers' names have, whoever makes them.
namespace tokend {

// 1 to 256 printable ASCII characters without spaces.
bool IsCallerName(std::string_view text);

// How names begin that one kind of authentication alone may make.
inline constexpr std::string_view kSpiffePrefix = "spiffe://";
inline constexpr std::string_view kDnsPrefix = "dns:";
inline constexpr std::string_view kUnixPrefix = "unix:";
inline constexpr std::array<std::string_view, 3> kReservedPrefixes = {kSpiffePrefix, kDnsPrefix, kUnixPrefix};

// The one of kReservedPrefixes that the name begins with; empty if none.
std::string_view ReservedPrefixOf(std::string_view name);

// 1 to 255 of [a-z0-9._-]: a SPIFFE trust domain.
bool IsTrustDomain(std::string_view text);

}  // namespace tokend
