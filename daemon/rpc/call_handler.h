#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "daemon/base/secret.h"
#include "daemon/rpc/mailbox.h"
#include "daemon/rpc/request_head.h"
#include "daemon/rpc/status.h"
#include "daemon/rpc/tls_context.h"

namespace tokend::rpc {

// The other side of a connection, as the transport tells it.
struct Peer {
  std::string name;  // "ipv4:…", "ipv6:…" or "unix:uid=N"
  // Whom its connections count for: its address, and of IPv6 the /64 network that a host commonly has for
  // itself; or its uid.
  std::string holder = name;
  std::optional<uid_t> unix_uid = {};                 // by the kernel's word
  std::optional<ClientCertificate> certificate = {};  // verified in the TLS handshake
};

// A call as its handler sees it: what the client sent, and the way back. On the listener's thread alone. It
// is there until the handler has finished it, or was told that it is abandoned or stopped.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const RequestHead& head() const = 0;
  virtual const Peer& peer() const = 0;
  virtual std::chrono::steady_clock::time_point arrived() const = 0;
  // When the client stops listening; nothing: it did not say.
  virtual std::optional<std::chrono::steady_clock::time_point> deadline() const = 0;
  // Whether the daemon stops, and the client was told to begin no more calls and did.
  virtual bool is_draining() const = 0;
  // How other threads reach this one.
  virtual const std::shared_ptr<Mailbox>& mailbox() const = 0;

  // The client is a caller that the listener knows.
  virtual void ShowCaller() = 0;

  // The handler is ready again.
  virtual void Resume() = 0;

  // Sends a message of the answer.
  virtual void Send(WipedBytes message) = 0;
  // Ends the call, once its messages are sent.
  virtual void Finish(CallStatus status) = 0;
};

// Handles one call of a method. The connection calls its functions, on the listener's thread. Another thread
// may destroy it, because a pending answer can hold a reference to it.
class CallHandler {
 public:
  virtual ~CallHandler() = default;

  // Whether the handler takes messages now. If not, messages and their end wait until Exchange::Resume.
  virtual bool IsReady() const { return true; }
  // A whole message has come. A method that takes one message gets one.
  virtual void OnMessage(std::string message) = 0;
  // All messages have come, of a method that takes several.
  virtual void OnRequestEnd() {}
  // The client has cancelled, is gone, or its deadline has passed: CANCELLED or DEADLINE_EXCEEDED.
  virtual void OnAbandoned(Code why) = 0;
  // The daemon ends what still runs. Returns what the client is told.
  virtual CallStatus OnStop() = 0;
};

}  // namespace tokend::rpc
