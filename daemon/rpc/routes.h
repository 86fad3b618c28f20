#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "daemon/base/methods.h"
#include "daemon/rpc/call_handler.h"

namespace tokend::rpc {

class AuthenticatedCall;

// A function that makes handlers of this type. `context` must outlive them.
template <class Handler, class Context>
auto MakerOf(Context& context) {
  return [&context](ServerCall& server_call) { return std::make_shared<Handler>(context, server_call); };
}

// Maps the methods that one listener serves to their handlers. Filled before the listener runs, then
// immutable.
class Routes {
 public:
  struct Route {
    const Method* method;
    std::function<std::shared_ptr<CallHandler>(ServerCall&)> make_handler;
  };

  // Adds a method that needs no caller (Access::kAnyone).
  void Add(const Method& method, std::function<std::shared_ptr<CallHandler>(ServerCall&)> make_handler);
  // Adds a method that needs a caller (Access::kCaller). Its handler must be an AuthenticatedCall.
  void AddForCallers(const Method& method,
                     std::function<std::shared_ptr<AuthenticatedCall>(ServerCall&)> make_handler);

  // The route of a path; null if no method has it.
  const Route* Find(std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace tokend::rpc
