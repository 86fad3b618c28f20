#include "daemon/rpc/routes.h"

#include <cassert>
#include <utility>

#include "daemon/rpc/caller_call.h"

namespace tokend::rpc {

void Routes::Add(const Method& method, std::function<std::shared_ptr<CallHandler>(Exchange&)> begin) {
  assert(method.access == Method::Access::kAnyone && Find(method.path) == nullptr);
  routes_.push_back({&method, std::move(begin)});
}

void Routes::AddForCallers(const Method& method,
                           std::function<std::shared_ptr<CallerCall>(Exchange&)> begin) {
  assert(method.access == Method::Access::kCaller && Find(method.path) == nullptr);
  routes_.push_back({&method, std::move(begin)});
}

const Routes::Route* Routes::Find(std::string_view path) const {
  for (const Route& route : routes_) {
    if (route.method->path == path) return &route;
  }
  return nullptr;
}

}  // namespace tokend::rpc
