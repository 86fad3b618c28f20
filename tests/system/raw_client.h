#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokend/v1/token_service.pb.h"

namespace tokend::system {

// Status codes of gRPC.
inline constexpr int kOk = 0;
inline constexpr int kUnknown = 2;
inline constexpr int kNotFound = 5;
inline constexpr int kPermissionDenied = 7;
inline constexpr int kResourceExhausted = 8;
inline constexpr int kFailedPrecondition = 9;
inline constexpr int kInternal = 13;
inline constexpr int kUnavailable = 14;
inline constexpr int kUnauthenticated = 16;

// The result of one call, with its google.rpc details parsed.
struct Answered {
  int code = -1;  // grpc::StatusCode
  std::string message;
  std::string reason;  // ErrorInfo.reason
  std::string domain;
  std::string request_id;  // ErrorInfo.metadata
  std::string upstream_code;
  std::string audit_sequence;
  std::optional<std::chrono::milliseconds> retry_after;
  std::vector<std::string> fields;  // BadRequest
  std::string pushback;             // the trailer grpc-retry-pushback-ms
  std::string bytes;                // the complete error, for searches
  v1::CreateTokenResponse response;
};

struct TlsFiles {
  std::string ca_pem;
  std::string certificate_pem;
  std::string key_pem;
};

// A bare gRPC client, without retries. Thread-safe.
class RawClient {
 public:
  // Connects in plaintext, or with TLS if a member of `tls` is set.
  explicit RawClient(const std::string& address, const std::optional<TlsFiles>& tls = std::nullopt,
                     const std::string& server_name = "localhost");
  ~RawClient();

  Answered Create(const v1::CreateTokenRequest& request,
                  std::chrono::milliseconds deadline = std::chrono::seconds(30)) const;
  // Sends these values of the metadata "authorization" with the call.
  Answered CreateWith(const std::vector<std::string>& authorization,
                      const v1::CreateTokenRequest& request) const;

  // Sends this metadata with the call.
  Answered CreateAs(const std::vector<std::pair<std::string, std::string>>& metadata,
                    const v1::CreateTokenRequest& request) const;

  // Makes `count` calls, `parallel` at a time, and waits for all.
  std::vector<Answered> CreateMany(std::size_t count, std::size_t parallel,
                                   const std::function<v1::CreateTokenRequest(std::size_t)>& request) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

v1::CreateTokenRequest RequestFor(const std::string& application, const std::string& request_id = "");

}  // namespace tokend::system
