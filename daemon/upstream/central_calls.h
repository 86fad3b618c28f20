#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/secret.h"
#include "daemon/loop/http_client.h"

namespace tokend::upstream {

// Identifies one address of the central tokend for as long as the address is in use. No two addresses have
// the same value.
enum class Replica : std::size_t {};

// One gRPC call of tokend.v1.TokenService/CreateToken.
struct CentralCall {
  std::string message;                                        // the request, serialized
  std::vector<std::pair<std::string, std::string>> metadata;  // besides that of gRPC itself and the token
  // kNew: the call gets a connection of its own.
  loop::HttpPost::Connection connection = loop::HttpPost::Connection::kAny;
  std::optional<Replica> avoid = {};  // used only if there is no other replica
  // Nothing of the call is sent later than this. Its answer is not awaited for longer either, but for 5 s
  // from when it is sent on a connection.
  std::chrono::steady_clock::time_point send_by = std::chrono::steady_clock::time_point::max();
  std::shared_ptr<loop::Sent> sent = nullptr;  // as that of HttpPost
};

// The grpc-status of a call that has succeeded.
inline constexpr int kGrpcOk = 0;

// What came back for one call: the answer of the centre, or the reason why it sent none.
struct CentralAnswer {
  loop::Sent sent = loop::Sent::kNo;  // whether the centre can have seen the call
  std::optional<Replica> replica;     // the replica that got the call; nothing: no address is known
  std::optional<int> status;          // grpc-status of a whole answer; nothing: there was none
  std::string details;                // the google.rpc.Status of grpc-status-details-bin, serialized
  Secret message;                     // the response, serialized, where the status is OK
  std::string error;                  // the address, and why there is no status, in fixed words
  bool connected = false;             // false: no connection could be made
  std::chrono::microseconds latency{0};
};

// Calls to a central tokend, over its replicas in turn. Loop thread only.
class CentralCalls {
 public:
  using Done = absl::AnyInvocable<void(CentralAnswer)>;

  virtual ~CentralCalls() = default;

  // Sends the call at most once, with the time-out of the configuration. Calls `done` exactly once, on the
  // loop thread and never from within Call.
  virtual void Call(CentralCall call, Done done) = 0;

  // How many addresses of the centre are known.
  virtual std::size_t replicas() const = 0;

  // Reads certificate, key and token again before the next call.
  virtual void RereadCredentials() = 0;

  // Counts the changes of certificate, key and token since the start.
  virtual std::size_t credentials_generation() const = 0;

  // Overwrites the copies of a secret that an answer has left in the client's buffers.
  virtual void WipeCopies(std::string_view secret) = 0;

  // Ends the calls that run: each `done` is called before this returns.
  virtual void Stop() = 0;
};

}  // namespace tokend::upstream
