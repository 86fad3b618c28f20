#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

// The text forms of gRPC over HTTP/2: grpc/grpc, doc/PROTOCOL-HTTP2.md. Pure functions.
namespace tokend::rpc {

// The longest time that a call may wait. A longer grpc-timeout is cut to it.
inline constexpr std::chrono::hours kLongestTimeout{24};

// The value of grpc-timeout: one to eight digits and a unit, at most kLongestTimeout. Nothing: it has another
// form.
std::optional<std::chrono::nanoseconds> ParseTimeout(std::string_view value);

// The value of grpc-message: everything but printable ASCII, and "%", is escaped.
std::string PercentEncode(std::string_view message);

// The value of a header whose name ends with "-bin", without padding.
std::string EncodeBinary(std::string_view bytes);

// Whether a value of such a header is base64, padded or not; several may be joined by commas.
bool IsBinary(std::string_view value);

// Whether this content type is gRPC's: application/grpc or application/grpc+proto, with or without
// parameters.
bool IsGrpc(std::string_view content_type);

}  // namespace tokend::rpc
