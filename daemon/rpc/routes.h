#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "daemon/base/methods.h"
#include "daemon/rpc/call_handler.h"

namespace tokend::rpc {

class CallerCall;

// Which handler the calls of each method get, at one listener. Built before the listener runs, then
// immutable.
class Routes {
 public:
  struct Route {
    const Method* method;
    std::function<std::shared_ptr<CallHandler>(Exchange&)> begin;
  };

  // For a method that answers anyone.
  void Add(const Method& method, std::function<std::shared_ptr<CallHandler>(Exchange&)> begin);
  // For a method that asks for a caller: its handler is one that asks.
  void AddForCallers(const Method& method, std::function<std::shared_ptr<CallerCall>(Exchange&)> begin);

  // Null: no method has this path.
  const Route* Find(std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace tokend::rpc
