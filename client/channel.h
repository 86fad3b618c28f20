#pragma once

#include <grpcpp/channel.h>

#include <memory>

#include "client/client.h"

namespace tokend::client {

// A channel to the options' address, not yet connected, that never tries a call again by itself.
// INVALID_ARGUMENT says which option is wrong and how.
Result<std::shared_ptr<grpc::Channel>> OpenChannel(const Options& options);

// What a token file holds: 1 to 16384 printable ASCII characters without blanks, and a newline perhaps.
Result<Secret> ReadTokenFile(const std::string& path);

}  // namespace tokend::client
