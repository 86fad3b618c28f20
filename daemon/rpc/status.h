#pragma once

#include <string>
#include <string_view>

#include "daemon/base/failure.h"

// Maps failures to the gRPC statuses that callers get. No other file does that.
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

// The code's canonical name, such as "INVALID_ARGUMENT".
std::string_view Name(Code code);

// How a call ends. It is sent in the trailers.
struct CallStatus {
  Code code = Code::kOk;
  std::string message = {};
  std::string details = {};  // a serialized google.rpc.Status; empty: none
  // Tells the client's library not to retry, since a token may exist: grpc-retry-pushback-ms is -1.
  bool forbids_retry = false;
};

// The failure of a call whose message is not a message of this type.
Failure UnreadableMessage(std::string_view type);

// The status of a failed call, with its google.rpc details. The reason determines the message, except that
// for INVALID_REQUEST it names the first invalid field and what it must be, and that a caller whose token has
// expired is told so.
CallStatus ToStatus(const Failure& failure, std::string_view request_id);

}  // namespace tokend::rpc
