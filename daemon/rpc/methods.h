#pragma once

#include <array>
#include <string_view>

// Every method that the daemon answers, and whether it needs a known caller. A method that is not listed here
// has no route (routes.h): its calls end as UNIMPLEMENTED.
namespace tokend::rpc {

enum class Access {
  kAnyone,  // answers without a caller
  kCaller,  // the listener must know who calls
};

enum class Kind {
  kUnary,
  kServerStreaming,  // one message, and an answer that goes on
  kBidiStreaming,
};

struct Method {
  std::string_view path;  // "/package.Service/Method"
  Access access;
  Kind kind;

  // "package.Service/Method": as metrics name it.
  constexpr std::string_view name() const { return path.substr(1); }
};

inline constexpr Method kCreateToken{"/tokend.v1.TokenService/CreateToken", Access::kCaller, Kind::kUnary};
inline constexpr Method kGetCaller{"/tokend.v1.TokenService/GetCaller", Access::kCaller, Kind::kUnary};
inline constexpr Method kHealthCheck{"/grpc.health.v1.Health/Check", Access::kAnyone, Kind::kUnary};
inline constexpr Method kHealthWatch{"/grpc.health.v1.Health/Watch", Access::kAnyone, Kind::kServerStreaming};
inline constexpr Method kReflection{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                    Access::kCaller, Kind::kBidiStreaming};
inline constexpr Method kReflectionAlpha{"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                         Access::kCaller, Kind::kBidiStreaming};

inline constexpr std::array<const Method*, 6> kMethods = {&kCreateToken, &kGetCaller,  &kHealthCheck,
                                                          &kHealthWatch, &kReflection, &kReflectionAlpha};

}  // namespace tokend::rpc
