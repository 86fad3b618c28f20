#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

// The forms that names and texts must have: the API's, the configuration's and the upstream's are the same.
namespace tokend {

// 24 hex digits: Applivery's object id.
bool IsObjectId(std::string_view text);

// What an organization or an application may be called: an object id, or 3 to 128 of [A-Za-z0-9-].
bool IsResourceName(std::string_view text);

// 1 to 64 of [A-Za-z0-9._:-].
bool IsScope(std::string_view text);

// 8-4-4-4-12 hex digits (RFC 9562, section 4), in lower case; nothing if it is no UUID.
std::optional<std::string> ParseUuid(std::string_view text);

// A new random UUID (version 4) in lower case. Thread-safe.
std::string MakeUuid();

inline constexpr std::size_t kMaxScopes = 16;
inline constexpr std::size_t kMaxDescriptionUtf16 = 1000;

// UTF-16 code units that the text takes, as the upstream counts; nothing if it is not valid UTF-8.
std::optional<std::size_t> Utf16Length(std::string_view utf8);

// The longest beginning of at most `bytes` bytes that does not cut a UTF-8 sequence.
std::string_view CutUtf8(std::string_view utf8, std::size_t bytes);

// Lower-case hex.
std::string Hex(std::string_view bytes);

}  // namespace tokend
