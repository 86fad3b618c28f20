#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

// Limits on what one client can make the daemon store or do. deploy/README.md lists these numbers for
// operators.
namespace tokend::rpc::bounds {

using namespace std::chrono_literals;

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;

// Requests.
inline constexpr std::size_t kMaxMetadataBytes = 16 * kKiB;     // beyond it the call is refused
inline constexpr std::size_t kMaxHeaderBlockBytes = 64 * kKiB;  // beyond it the connection is closed
inline constexpr std::size_t kMaxMessageBytes = 64 * kKiB;

// Flow control (session.h). Every stream begins with a window of kStreamWindow bytes, which is enough for
// nearly every request. A longer message gets the rest of its window after its length is known, from a pool
// of kWindowPool bytes that the streams of a connection share.
inline constexpr std::int32_t kStreamWindow = 2 * 1024;
inline constexpr std::int32_t kConnectionWindow = 1024 * 1024;
inline constexpr std::size_t kWindowPool = 128 * kKiB;

// Memory for requests that no handler has taken yet, of one connection and of all connections of a listener.
// In the listener's sum every open stream counts as kStreamBytes more.
inline constexpr std::size_t kMaxHeldRequestBytes = kMiB;
inline constexpr std::size_t kMaxListenerRequestBytes = 32 * kMiB;
inline constexpr std::size_t kStreamBytes = 1024;

// Of one connection at a time.
inline constexpr std::uint32_t kMaxStreams = 128;
inline constexpr std::size_t kMaxHealthWatches = 2;

// Answers that the client has not read. When a connection has kMaxQueuedAnswerBytes, its new calls wait. When
// a listener has kMaxListenerAnswerBytes, it closes the connection with the most.
inline constexpr std::size_t kMaxQueuedAnswerBytes = 256 * kKiB;
inline constexpr std::size_t kMaxListenerAnswerBytes = 32 * kMiB;

// A token bucket (token_bucket.h): `burst` at once, and `per_second` in the long run.
struct Rate {
  double burst;
  double per_second;
};
inline constexpr Rate kResets{1000, 200};  // streams of a connection that close before their answer is sent
inline constexpr Rate kControlFrames{2000, 1000};  // of a connection
inline constexpr double kControlFramesEarned = 4;  // by each HEADERS frame and each DATA frame with data
inline constexpr Rate kIgnoredBytes{64 * 1024, 16 * 1024};  // of frames without an effect, of a connection
// The most ignored bytes that are free of charge. After the server has closed a stream, the client may still
// send frames for it until it reads that.
inline constexpr std::size_t kMaxExpectedBytes = kMaxStreams * (kMaxMetadataBytes + kStreamWindow);
inline constexpr Rate kHandshakes{100, 100};  // TLS handshakes that one address begins

// Connections.
inline constexpr std::size_t kMaxConnections = 4096;  // of one listener
inline constexpr std::size_t kMaxHandshakes = 256;    // TLS handshakes of one listener at a time

// How long a client may take, and how long a connection lives. Tests use shorter times.
struct Times {
  using Milliseconds = std::chrono::milliseconds;

  Milliseconds handshake = 10s;               // from accept to the end of the HTTP/2 preface
  Milliseconds settings = 10s;                // to acknowledge the server's SETTINGS
  Milliseconds request = 20s;                 // from a request's header to its first whole message
  Milliseconds answer = 20s;                  // to read an answer
  Milliseconds unknown_caller = 5min;         // until a call has been authenticated
  Milliseconds unknown_caller_crowded = 15s;  // the same, if the listener is half full
  Milliseconds idle = 30min;                  // without a call
  Milliseconds age = 60min;
  Milliseconds age_grace = 10min;          // for calls that run when the age is reached
  Milliseconds keepalive = 60s;            // of silence until the server sends a PING
  Milliseconds keepalive_answer = 20s;     // to answer that PING
  Milliseconds goaway_notice = 1s;         // from the first GOAWAY to the second, at most
  Milliseconds certificate_notice = 1min;  // retire before the certificate expires
  Milliseconds linger = 1s;                // to drain the client's input while closing
};

// How long one connection may use its listener's thread before other connections run. A step that has begun
// is finished: a read of 16 KiB, or one call.
inline constexpr std::chrono::microseconds kTimeSlice{250};

}  // namespace tokend::rpc::bounds
