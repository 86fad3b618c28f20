#pragma once

#include <string>
#include <string_view>

#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// The configuration in effect, as YAML: every default filled in, keys in the schema's order, texts in quotes.
// Loading it gives the same text again. It holds no secret: the configuration only names where secrets are.
std::string Effective(const v1::Config& schema);

// The first 16 hex digits of the text's SHA-256.
std::string Fingerprint(std::string_view text);

}  // namespace tokend::config
