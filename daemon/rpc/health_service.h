#pragma once

#include <memory>
#include <set>
#include <string_view>

#include "daemon/rpc/call_handler.h"
#include "daemon/rpc/routes.h"

namespace tokend::rpc {

enum class Serving { kNo, kYes };

// grpc.health.v1.Health at one listener, for anyone: of the server as a whole ("") and of
// tokend.v1.TokenService. The listener's thread alone, but for Add.
class HealthService {
 public:
  // Before the listener runs. This must outlive every call.
  void Add(Routes& routes);

  // Tells the clients that watch, where it is another.
  void SetServing(Serving serving);

 private:
  class CheckCall;
  class WatchCall;

  Serving serving_ = Serving::kNo;
  std::set<WatchCall*> watches_;
};

}  // namespace tokend::rpc
