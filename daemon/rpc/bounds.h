#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

// What one client can make the daemon hold or do. deploy/README.md lists these numbers for operators.
namespace tokend::rpc::bounds {

// Requests.
inline constexpr std::size_t kMaxMetadataBytes = std::size_t{16} * 1024;     // past it the call is refused
inline constexpr std::size_t kMaxHeaderBlockBytes = std::size_t{64} * 1024;  // past it the connection ends
inline constexpr std::size_t kMaxMessageBytes = std::size_t{64} * 1024;

// Flow control. A stream may send kStreamWindow bytes unasked, which nearly every request fits in. What a
// longer message needs is granted once its length is known, out of a pool of the connection.
inline constexpr std::int32_t kStreamWindow = 2 * 1024;
inline constexpr std::int32_t kConnectionWindow = 1024 * 1024;
inline constexpr std::size_t kWindowPool = std::size_t{128} * 1024;
inline constexpr std::size_t kMaxHeldRequestBytes = std::size_t{1024} * 1024;  // of one connection
inline constexpr std::size_t kMaxListenerRequestBytes = std::size_t{32} * 1024 * 1024;
inline constexpr std::size_t kStreamBytes = 1024;  // what each open stream counts for in it

inline constexpr std::uint32_t kMaxStreams = 128;    // of one connection at a time
inline constexpr std::size_t kMaxHealthWatches = 2;  // of one connection at a time

// Answers that a client does not read.
inline constexpr std::size_t kMaxQueuedAnswerBytes = std::size_t{256} * 1024;  // past it calls wait
inline constexpr std::size_t kMaxListenerAnswerBytes = std::size_t{32} * 1024 * 1024;

// A token bucket: so many at once, so many a second.
struct Rate {
  double burst;
  double per_second;
};
inline constexpr Rate kResets{1000, 200};          // streams that end before their answer, of one connection
inline constexpr Rate kControlFrames{2000, 1000};  // of one connection
inline constexpr double kControlFramesEarned = 4;  // by each HEADERS frame, and DATA frame that is not empty
inline constexpr Rate kIgnoredBytes{64 * 1024, 16 * 1024};  // bytes of frames that change nothing
// What of them may be due to streams that we ended: the client had not read of it.
inline constexpr std::size_t kMaxExpectedBytes = kMaxStreams * (kMaxMetadataBytes + kStreamWindow);
inline constexpr Rate kHandshakes{100, 100};  // TLS handshakes of one address

// Connections.
inline constexpr std::size_t kMaxConnections = 4096;  // of one listener
inline constexpr std::size_t kMaxHandshakes = 256;    // TLS handshakes under way at one listener

// How long a client may take, and a connection live. Tests make them shorter.
struct Times {
  std::chrono::milliseconds handshake = std::chrono::seconds(10);         // of TLS, and the preface of HTTP/2
  std::chrono::milliseconds settings = std::chrono::seconds(10);          // to acknowledge them
  std::chrono::milliseconds request = std::chrono::seconds(20);           // from a request's head to its end
  std::chrono::milliseconds answer = std::chrono::seconds(20);            // to read one
  std::chrono::milliseconds stranger = std::chrono::minutes(5);           // to show a caller
  std::chrono::milliseconds stranger_crowded = std::chrono::seconds(15);  // once the listener is half full
  std::chrono::milliseconds idle = std::chrono::minutes(30);
  std::chrono::milliseconds age = std::chrono::minutes(60);
  std::chrono::milliseconds age_grace = std::chrono::minutes(10);
  std::chrono::milliseconds keepalive = std::chrono::seconds(60);  // of silence, then a ping is sent
  std::chrono::milliseconds keepalive_answer = std::chrono::seconds(20);
  std::chrono::milliseconds goaway_notice =
      std::chrono::seconds(1);  // from the first GOAWAY to the second, at most
  std::chrono::milliseconds certificate_notice =
      std::chrono::minutes(1);  // before a client certificate's end
  std::chrono::milliseconds linger =
      std::chrono::seconds(1);  // to read what a closed connection's client sends
};

// How long a connection may keep its listener's thread before the other connections have their turn. It first
// completes the step that it has begun: a read of 16 KiB, or one call.
inline constexpr std::chrono::microseconds kTurn{250};

}  // namespace tokend::rpc::bounds
