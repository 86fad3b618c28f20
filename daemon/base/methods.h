#pragma once

#include <array>
#include <string_view>

// Every gRPC method that the daemon answers, and what it requires of its callers. Routes, metrics and clients
// read this table. A test holds it to the services' definitions in proto/.
namespace tokend {

struct Method {
  enum class Access {
    kAnyone,  // also callers that have not been authenticated
    kCaller,  // authenticated callers alone
  };
  enum class Kind {
    kUnary,
    kServerStreaming,  // one request message, any number of responses
    kBidiStreaming,
  };

  const char* path;  // "/package.Service/Method"
  Access access;
  Kind kind;

  // "package.Service/Method", as metrics name it.
  constexpr std::string_view name() const { return path + 1; }
};

inline constexpr Method kCreateToken{"/tokend.v1.TokenService/CreateToken", Method::Access::kCaller,
                                     Method::Kind::kUnary};
inline constexpr Method kGetCaller{"/tokend.v1.TokenService/GetCaller", Method::Access::kCaller,
                                   Method::Kind::kUnary};
inline constexpr Method kHealthCheck{"/grpc.health.v1.Health/Check", Method::Access::kAnyone,
                                     Method::Kind::kUnary};
inline constexpr Method kHealthWatch{"/grpc.health.v1.Health/Watch", Method::Access::kAnyone,
                                     Method::Kind::kServerStreaming};
inline constexpr Method kReflection{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                    Method::Access::kCaller, Method::Kind::kBidiStreaming};
inline constexpr Method kReflectionAlpha{"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                         Method::Access::kCaller, Method::Kind::kBidiStreaming};

inline constexpr std::array<const Method*, 6> kMethods = {&kCreateToken, &kGetCaller,  &kHealthCheck,
                                                          &kHealthWatch, &kReflection, &kReflectionAlpha};

}  // namespace tokend
