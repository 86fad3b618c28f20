#pragma once

#include <google/protobuf/duration.pb.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <string>

#include "daemon/base/result.h"

namespace tokend::client {

// gRPC's status with its google.rpc details and the call's request_id kept for DetailsOf.
Status FromGrpc(const grpc::Status& status, const std::string& request_id);

// An error of the client's own: no daemon has seen the call. `field` is named in the details.
Status InvalidField(const std::string& field, const std::string& description);

// From zero to ten years, so that sums of it fit.
std::chrono::nanoseconds FromProto(const google::protobuf::Duration& duration);

}  // namespace tokend::client
