#pragma once

#include <string_view>

#include "daemon/base/failure.h"

namespace grpc {
class CallbackServerContext;
class Status;
}  // namespace grpc

// The one place where what went wrong becomes what a caller gets.
namespace tokend::rpc {

// The status of a failed call, with its google.rpc details. Its message is fixed by the reason.
grpc::Status ToStatus(const Failure& failure, std::string_view request_id);

// What a failed call's status needs beside it as trailing metadata: where a token may have been created, that
// the client must not retry by itself.
void AddTrailers(const Failure& failure, grpc::CallbackServerContext& context);

// The status of a call whose caller gave up: its deadline has passed, or it cancelled.
grpc::Status AbandonedStatus(const grpc::CallbackServerContext& context);

// "OK", "INVALID_ARGUMENT" and so on; "UNKNOWN" for what is no canonical code.
std::string_view CodeName(const grpc::Status& status);

}  // namespace tokend::rpc
