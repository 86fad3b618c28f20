#pragma once

#include <array>
#include <string_view>

// What each method asks of its callers, and what holds them in bounds: all that this server answers. A method
// that is not here reaches no handler (credentials.h), and a door lets nobody in to one that asks no caller.
namespace tokend::rpc {

enum class Access {
  kAnyone,  // answers without a caller
  kCaller,  // the listener must know who calls
};

// Each holds with those before it.
enum class Bound {
  kConnection,     // calls a connection, connections a listener
  kCallsInFlight,  // server.max_in_flight
  kGrants,         // what the caller's grants allow, and the organization's limits
};

struct Method {
  std::string_view name;  // "package.Service/Method"
  Access access;
  Bound bound;
};

inline constexpr char kCreateToken[] = "tokend.v1.TokenService/CreateToken";
inline constexpr char kGetCaller[] = "tokend.v1.TokenService/GetCaller";
inline constexpr char kReflection[] = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
inline constexpr char kHealthCheck[] = "grpc.health.v1.Health/Check";
inline constexpr char kHealthWatch[] = "grpc.health.v1.Health/Watch";

inline constexpr std::array<Method, 5> kMethods = {{
    {kCreateToken, Access::kCaller, Bound::kGrants},
    {kGetCaller, Access::kCaller, Bound::kCallsInFlight},
    {kReflection, Access::kCaller, Bound::kCallsInFlight},  // until it is let in; a stream may stay idle
    {kHealthCheck, Access::kAnyone, Bound::kConnection},    // gRPC's own, which asks no door
    {kHealthWatch, Access::kAnyone, Bound::kConnection},
}};

// Null: there is no such method.
constexpr const Method* FindMethod(std::string_view name) {
  for (const Method& method : kMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

}  // namespace tokend::rpc
