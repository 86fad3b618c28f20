#pragma once

#include <array>
#include <cstddef>
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

struct CloseCauseFacts {
  std::string_view name;  // the value of the metric's label
  bool is_suspicious;     // well-behaved clients do not cause it
};

// In the order of the enumeration.
inline constexpr std::array<CloseCauseFacts, 20> kCloseCauses = {{
    {"client", false},        {"transport", false},
    {"handshake", false},     {"handshake_timeout", false},
    {"handshake_rate", true}, {"settings_timeout", true},
    {"protocol", true},       {"header_block", true},
    {"held_requests", true},  {"resets", true},
    {"control_frames", true}, {"ignored_bytes", true},
    {"unread_answers", true}, {"keepalive", false},
    {"no_caller", false},     {"share", true},
    {"idle", false},          {"age", false},
    {"certificate", false},   {"drain", false},
}};
static_assert(kCloseCauses.size() == static_cast<std::size_t>(CloseCause::kDrain) + 1);

constexpr const CloseCauseFacts& FactsOf(CloseCause cause) {
  return kCloseCauses[static_cast<std::size_t>(cause)];
}

}  // namespace tokend::rpc
