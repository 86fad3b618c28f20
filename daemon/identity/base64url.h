#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tokend::identity {

// The bytes that the text encodes (RFC 4648, section 5). Each value has one accepted spelling: no padding, no
// blanks, no other alphabet, no bits set beyond the last byte.
std::optional<std::string> DecodeBase64Url(std::string_view text);

}  // namespace tokend::identity
