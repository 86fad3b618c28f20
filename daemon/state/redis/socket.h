#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/descriptor.h"
#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/state/redis/tls.h"

namespace tokend::state {

// One connected socket to Redis, with or without TLS. No function waits beyond its deadline, except that the
// system's resolver may take longer to look up a host name. One thread at a time.
class RedisSocket {
 public:
  using SteadyTime = std::chrono::steady_clock::time_point;

  // With `tls`, its files are read, and Redis's certificate must be one for the address's host.
  static Result<RedisSocket> Open(const config::Address& address, const std::optional<config::ClientTls>& tls,
                                  SteadyTime deadline);

  // Each does what it can without waiting, and returns for how many bytes: 0 if there is nothing to do now.
  // After an error the socket is of no more use.
  Result<std::size_t> Write(std::string_view bytes);
  Result<std::size_t> Read(char* into, std::size_t room);

  enum class For { kRead, kReadOrWrite };
  // Waits until Read or, if asked for, Write may have something to do.
  Status Await(For what, SteadyTime deadline) const;

 private:
  explicit RedisSocket(Descriptor socket) : socket_(std::move(socket)) {}

  Status BeginTls(const config::ClientTls& tls, const std::string& host, SteadyTime deadline);
  // What a call of OpenSSL that returned `result` means.
  Result<std::size_t> TlsResult(int result);
  Status AwaitEvents(short events, SteadyTime deadline) const;

  Descriptor socket_;
  TlsSettings settings_;
  TlsSession session_;           // null without TLS
  bool waits_to_write_ = false;  // OpenSSL's last call must write before it can go on
};

}  // namespace tokend::state
