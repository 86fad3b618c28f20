#pragma once

#include <string_view>

namespace tokend::rpc {

// Why a connection was closed. It is the label `cause` of the metric tokend_connections_closed_total.
enum class CloseCause {
  kClient,            // the client has closed it
  kTransport,         // the socket or TLS has failed
  kHandshake,         // the TLS handshake has failed
  kHandshakeTimeout,  // the TLS handshake or the HTTP/2 preface took too long
  kHandshakeRate,     // the address begins too many handshakes
  kSettingsTimeout,   // the client has not acknowledged the SETTINGS
  kProtocol,          // the client has violated HTTP/2
  kHeaderBlock,       // a header block was too large or had too many CONTINUATION frames
  kHeldRequests,      // the client has sent too many bytes of unfinished requests
  kResets,            // too many streams closed before their answer was sent
  kControlFrames,     // too many control frames
  kIgnoredBytes,      // too many bytes of frames without an effect
  kUnreadAnswers,     // the client does not read its answers
  kKeepalive,         // the client does not answer PING
  kNoCaller,          // no call was authenticated for too long
  kShare,             // another client needed its place
  kIdle,              // no call for too long
  kAge,               // it has reached its maximum age
  kCertificate,       // the client's certificate expires
  kDrain,             // the daemon stops
};

inline constexpr int kCloseCauses = static_cast<int>(CloseCause::kDrain) + 1;

// The value of the metric's label, such as "handshake_timeout".
std::string_view Name(CloseCause cause);

// Whether the log should mention it. Well-behaved clients do not cause it.
bool IsSuspicious(CloseCause cause);

}  // namespace tokend::rpc
