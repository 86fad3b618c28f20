#pragma once

#include <string_view>

namespace tokend::identity {

// Whether the text is the SPIFFE ID of a workload: of the form of the SPIFFE-ID standard, with the path that
// the X509-SVID standard requires in a leaf certificate. "spiffe://trust.domain/ns/shop/sa/checkout".
bool IsWorkloadSpiffeId(std::string_view text);

}  // namespace tokend::identity
