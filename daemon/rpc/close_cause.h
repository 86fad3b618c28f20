#pragma once

#include <string_view>

namespace tokend::rpc {

// Why a connection was closed: the label `cause` of tokend_connections_closed_total.
enum class CloseCause {
  kClient,            // the client closed it
  kTransport,         // its socket or its TLS failed
  kHandshake,         // its TLS handshake failed
  kHandshakeTimeout,  // its handshake, or its HTTP/2 preface, took too long
  kHandshakeRate,     // its address begins too many handshakes
  kSettingsTimeout,   // the client did not acknowledge the settings
  kProtocol,          // the client broke the rules of HTTP/2
  kHeaderBlock,       // a header block was too large, or had too many parts
  kHeldRequests,      // the client sent too many bytes of unfinished requests
  kResets,            // too many streams ended before their answer
  kControlFrames,     // too many frames that are neither requests nor data
  kIgnoredBytes,      // too many bytes that change nothing
  kUnreadAnswers,     // the client does not read its answers
  kKeepalive,         // the client does not answer pings
  kNoCaller,          // the client has shown no caller
  kShare,             // others needed its place
  kIdle,              // no call for long
  kAge,               // it has lived long enough
  kCertificate,       // the client's certificate has come to its end
  kDrain,             // the daemon stops
};

inline constexpr int kCloseCauses = static_cast<int>(CloseCause::kDrain) + 1;

// "client", "transport" and so on.
std::string_view Name(CloseCause cause);

// Whether an operator should know of it: what an honest client does not come to.
bool IsSuspicious(CloseCause cause);

}  // namespace tokend::rpc
