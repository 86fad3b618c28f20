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

// The client's side of a connection.
struct Peer {
  std::string name;  // "ipv4:…", "ipv6:…" or "unix:uid=N"
  // The key by which the connections of one client are counted: its IPv4 address, the /64 network of its IPv6
  // address (a host commonly has one for itself), or "unix:uid=N".
  std::string holder = name;
  std::optional<uid_t> unix_uid = {};                 // from the kernel (SO_PEERCRED), if it names one user
  std::optional<ClientCertificate> certificate = {};  // verified in the TLS handshake
};

// A call as its handler sees it: the request's metadata, and the functions that send the answer. Listener
// thread only. It is valid until the handler calls Finish, or until OnCancelled or OnStop is called. None of
// its functions calls the handler.
class ServerCall {
 public:
  virtual ~ServerCall() = default;

  virtual const RequestHead& head() const = 0;
  virtual const Peer& peer() const = 0;
  virtual std::chrono::steady_clock::time_point arrived() const = 0;
  // The client's deadline; nothing if it has set none.
  virtual std::optional<std::chrono::steady_clock::time_point> deadline() const = 0;
  // Whether the connection is draining: the daemon stops, and the client had time to read the GOAWAY.
  virtual bool is_draining() const = 0;
  // Lets other threads run tasks on the listener's thread.
  virtual const std::shared_ptr<Mailbox>& mailbox() const = 0;

  // Marks the connection as one of an authenticated caller. Other connections are closed earlier.
  virtual void MarkCallerKnown() = 0;

  // The handler has become ready (CallHandler::IsReady): deliver the messages that have waited.
  virtual void Resume() = 0;

  // Queues a message of the answer.
  virtual void Send(WipedBytes message) = 0;
  // Ends the call after the queued messages.
  virtual void Finish(CallStatus status) = 0;
};

// Handles one call of a method. The connection calls its functions on the listener's thread. The connection's
// reference is not the only one: who produces the answer may keep one, and the last one may be released on
// another thread.
class CallHandler {
 public:
  virtual ~CallHandler() = default;

  // Whether it accepts messages and the end of the request now. Until then they wait for ServerCall::Resume.
  virtual bool IsReady() const { return true; }
  // A complete message has arrived. It is called exactly once for methods that take a single message.
  virtual void OnMessage(std::string message) = 0;
  // The client has sent its last message. Only for methods that take several messages.
  virtual void OnRequestEnd() {}
  // The client gets no answer any more: it has cancelled or disconnected (CANCELLED), or the deadline has
  // passed (DEADLINE_EXCEEDED).
  virtual void OnCancelled(Code why) = 0;
  // The daemon stops and ends the call now. Returns the status for the client.
  virtual CallStatus OnStop() = 0;
};

}  // namespace tokend::rpc
