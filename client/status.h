#pragma once

#include <google/protobuf/duration.pb.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <string>

#include "client/client.h"
#include "daemon/base/result.h"

namespace tokend::client {

// Converts gRPC's status. DetailsOf reads the google.rpc details and the request_id from the result.
Status FromGrpc(const grpc::Status& status, const std::string& request_id);

// Makes DetailsOf(error).outcome be `outcome`.
void SetOutcome(Outcome outcome, Status& error);

// The error with another message, and with the same details.
Status WithMessage(const Status& error, const std::string& message);

// An error that the client makes before it calls the daemon. The details name `field`.
Status InvalidField(const std::string& field, const std::string& description);

// Limits the duration to the range from zero to ten years, so that sums of durations do not overflow.
std::chrono::nanoseconds FromProto(const google::protobuf::Duration& duration);

}  // namespace tokend::client
