#pragma once

#include <memory>

#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/issuer.h"
#include "daemon/rpc/door.h"

namespace grpc {
class Service;
}

namespace tokend::rpc {

// What the calls of every door share. Outlives the servers.
struct Backend {
  issue::Issuer& issuer;
  const issue::CurrentConfig& current;
};

// tokend.v1.TokenService behind one door. The only place where a bearer is exposed to a caller.
std::unique_ptr<grpc::Service> MakeTokenService(const Backend& backend, std::shared_ptr<const Door> door);

}  // namespace tokend::rpc
