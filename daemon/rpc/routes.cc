#include "daemon/rpc/routes.h"

#include <cassert>
#include <utility>

#include "daemon/rpc/authenticated_call.h"

namespace tokend::rpc {

void Routes::Add(const Method& method,
                 std::function<std::shared_ptr<CallHandler>(ServerCall&)> make_handler) {
  assert(method.access == Method::Access::kAnyone && Find(method.path) == nullptr);
  routes_.push_back({&method, std::move(make_handler)});
}

void Routes::AddForCallers(const Method& method,
                           std::function<std::shared_ptr<AuthenticatedCall>(ServerCall&)> make_handler) {
  assert(method.access == Method::Access::kCaller && Find(method.path) == nullptr);
  routes_.push_back({&method, std::move(make_handler)});
}

const Routes::Route* Routes::Find(std::string_view path) const {
  for (const Route& route : routes_) {
    if (route.method->path == path) return &route;
  }
  return nullptr;
}

}  // namespace tokend::rpc
