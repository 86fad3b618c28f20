#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "client/client.h"

namespace tokend::client {

// Makes a channel to the options' address, which is not connected yet and never retries a call.
// INVALID_ARGUMENT says which option is wrong, and what it must be.
Result<std::shared_ptr<grpc::Channel>> OpenChannel(const Options& options);

// The words for a client that has no connection to `address`. `why` is gRPC's reason, or empty.
std::string NoConnection(const std::string& address, const std::string& why);

// Reads a token file: 1 to 16384 printable ASCII characters without blanks, with or without newlines at the
// end.
Result<Secret> ReadTokenFile(const std::string& path);

}  // namespace tokend::client
