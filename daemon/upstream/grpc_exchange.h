#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/loop/http_client.h"
#include "daemon/upstream/central_calls.h"

// Writes one unary gRPC call as an HTTP request, and judges the HTTP answer. Pure.
namespace tokend::upstream {

inline constexpr std::size_t kGrpcPrefixBytes = 5;  // a flag for compression, and the message's length
inline constexpr std::size_t kMaxCentralMessage = std::size_t{64} * 1024;

// The fields of an answer that JudgeGrpcAnswer needs.
std::vector<std::string> GrpcAnswerFields();

// The body of a request.
std::string FrameMessage(std::string_view message);

// The value of grpc-timeout.
std::string GrpcTimeout(std::chrono::milliseconds timeout);

// Whether gRPC allows this field as metadata: its name is in lower case and not one that gRPC itself uses,
// and its value is printable ASCII.
bool IsMetadata(std::string_view name, std::string_view value);

// Sets status, details, message and error of `into`. `server`: what an error calls the server.
void JudgeGrpcAnswer(const loop::HttpAnswer& answer, std::string_view server, CentralAnswer& into);

}  // namespace tokend::upstream
