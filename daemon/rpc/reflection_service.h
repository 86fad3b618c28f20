#pragma once

#include <memory>

#include "daemon/rpc/door.h"

namespace grpc {
class Service;
}

namespace tokend::rpc {

// grpc.reflection.v1alpha behind one door: gRPC's own implementation answers everyone, and takes a thread for
// each stream.
std::unique_ptr<grpc::Service> MakeReflectionService(std::shared_ptr<const Door> door);

}  // namespace tokend::rpc
