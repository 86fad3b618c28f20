#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tokend::identity {

// What the text encodes (RFC 4648, section 5) in the one way there is: no padding, no blanks, no other
// alphabet, no bits set beyond the last byte.
std::optional<std::string> DecodeBase64Url(std::string_view text);

}  // namespace tokend::identity
