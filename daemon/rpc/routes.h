#pragma once

#include <cassert>
#include <functional>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

#include "daemon/base/methods.h"
#include "daemon/rpc/call_handler.h"

namespace tokend::rpc {

class AuthenticatedCall;

// Maps the methods that one listener serves to their handlers. Filled before the listener runs, then
// immutable.
class Routes {
 public:
  struct Route {
    const Method* method;
    std::function<std::shared_ptr<CallHandler>(ServerCall&)> make_handler;
  };

  // Adds a method. Each of its calls gets a new Handler, made with `context`, which must outlive them. The
  // handler of a method that needs a caller (Access::kCaller), and of no other, is an AuthenticatedCall.
  template <const Method& kMethod, class Handler, class Context>
  void Add(Context& context) {
    static_assert(std::is_base_of_v<AuthenticatedCall, Handler> ==
                  (kMethod.access == Method::Access::kCaller));
    assert(Find(kMethod.path) == nullptr);
    routes_.push_back({&kMethod, [&context](ServerCall& server_call) {
                         return std::make_shared<Handler>(context, server_call);
                       }});
  }

  // The route of a path; null if no method has it.
  const Route* Find(std::string_view path) const {
    for (const Route& route : routes_) {
      if (route.method->path == path) return &route;
    }
    return nullptr;
  }

 private:
  std::vector<Route> routes_;
};

}  // namespace tokend::rpc
