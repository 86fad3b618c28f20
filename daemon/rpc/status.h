#pragma once

#include <string>
#include <string_view>

#include "daemon/base/failure.h"

// The one place where what went wrong becomes what a caller gets.
namespace tokend::rpc {

// gRPC's status codes: grpc/grpc, doc/statuscodes.md.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "OK", "INVALID_ARGUMENT" and so on.
std::string_view Name(Code code);

// How a call ends, as its trailers say it.
struct CallStatus {
  Code code = Code::kOk;
  std::string message = {};
  std::string details = {};  // a google.rpc.Status, serialized; empty: none
  // Tells the client not to retry by itself, as a token may have been created: grpc-retry-pushback-ms is -1.
  bool forbids_retry = false;
};

// The status of a failed call, with its google.rpc details. Its message is fixed by the reason; that of
// INVALID_REQUEST names the first field and what it must be.
CallStatus ToStatus(const Failure& failure, std::string_view request_id);

}  // namespace tokend::rpc
