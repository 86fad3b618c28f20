#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

// The text formats of gRPC's headers (grpc/grpc, doc/PROTOCOL-HTTP2.md). Pure functions.
namespace tokend::rpc {

// The longest timeout of a call. Longer values of grpc-timeout are reduced to it.
inline constexpr std::chrono::hours kLongestTimeout{24};

// Parses the value of grpc-timeout: one to eight digits and a unit. Nothing if it has another form.
std::optional<std::chrono::nanoseconds> ParseTimeout(std::string_view value);

// Encodes the value of grpc-message: "%" and everything but printable ASCII is escaped.
std::string PercentEncode(std::string_view message);

// Encodes the value of a header whose name ends with "-bin": base64 without padding.
std::string EncodeBinary(std::string_view bytes);

// Whether the value of such a header is base64, with or without padding. Commas may separate several values.
bool IsBinary(std::string_view value);

// The trace-id of a "traceparent" (W3C Trace Context, 3.2): 32 hex digits. Empty if the value is not valid.
std::string TraceIdOf(std::string_view traceparent);

// Whether this is a content type of gRPC: application/grpc or application/grpc+proto, with or without
// parameters.
bool IsGrpc(std::string_view content_type);

}  // namespace tokend::rpc
