#pragma once

// The gRPC metadata by which a relay tells the central tokend about its own caller's call. Relayed
// (base/token_request.h) says what each holds.
namespace tokend::relay_metadata {

inline constexpr char kOnBehalfOf[] = "tokend-on-behalf-of";
inline constexpr char kRequestDigest[] = "tokend-request-digest";
inline constexpr char kRequestAge[] = "tokend-request-age";        // in whole seconds
inline constexpr char kCallerTimeout[] = "tokend-caller-timeout";  // in whole milliseconds

}  // namespace tokend::relay_metadata
