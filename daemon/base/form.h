#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

// The syntax of names and texts. The API, the configuration and the upstream share these rules.
namespace tokend {

// An object id of Applivery: 24 hex digits.
bool IsObjectId(std::string_view text);

// The name of an organization or an application: an object id, or a slug of 3 to 128 characters of
// [A-Za-z0-9-].
bool IsResourceName(std::string_view text);

// A scope: 1 to 64 characters of [A-Za-z0-9._:-].
bool IsScope(std::string_view text);

inline constexpr std::size_t kMaxBearerBytes = 128;

// A bearer of the upstream: 1 to 128 printable ASCII characters.
bool IsBearer(std::string_view text);

// The UUID in lower case, or nothing if the text is not 8-4-4-4-12 hex digits (RFC 9562, section 4).
std::optional<std::string> ParseUuid(std::string_view text);

// A new random UUID (version 4) in lower case. Thread-safe.
std::string MakeUuid();

// The error of a request without an organization, where several are configured.
inline constexpr char kOrganizationMissing[] = "must be given, as several organizations are configured";

inline constexpr std::size_t kMaxScopes = 16;
inline constexpr std::size_t kMaxDescriptionUtf16 = 1000;

// The length of the text in UTF-16 code units, which the upstream counts; nothing if it is not valid UTF-8.
std::optional<std::size_t> Utf16Length(std::string_view utf8);

// Whether the text, in valid UTF-8, holds a control character (C0, DEL, C1) or a bidirectional override
// (U+202A to U+202E, U+2066 to U+2069). These can hide text beside them, or show it in another order.
bool HasControlCharacters(std::string_view utf8);

// The longest prefix of at most `bytes` bytes that ends between UTF-8 sequences.
std::string_view CutUtf8(std::string_view utf8, std::size_t bytes);

// Lower-case hex.
std::string Hex(std::string_view bytes);

}  // namespace tokend
