#pragma once

#include <set>

#include "daemon/rpc/call_handler.h"
#include "daemon/rpc/routes.h"

namespace tokend::rpc {

enum class Serving { kNo, kYes };

// Serves grpc.health.v1.Health at one listener, without authentication, for the server as a whole ("") and
// for tokend.v1.TokenService. Listener thread only, except Add.
class HealthService {
 public:
  // Adds the routes. Call it before the listener runs. This must outlive every call.
  void Add(Routes& routes);

  // Sets the status. If it changes, every watching client gets the new one.
  void SetServing(Serving serving);

 private:
  class Call;
  class CheckCall;
  class WatchCall;

  Serving serving_ = Serving::kNo;
  std::set<Call*> watches_;  // SendStatus does not change it
};

}  // namespace tokend::rpc
