#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

// Limits on what one client can make the daemon store or do. deploy/README.md lists these numbers for
// operators.
namespace tokend::rpc::bounds {

// Requests.
inline constexpr std::size_t kMaxMetadataBytes = std::size_t{16} * 1024;  // beyond it the call is refused
inline constexpr std::size_t kMaxHeaderBlockBytes =
    std::size_t{64} * 1024;  // beyond it the connection is closed
inline constexpr std::size_t kMaxMessageBytes = std::size_t{64} * 1024;

// Flow control (session.h). Every stream begins with a window of kStreamWindow bytes, which is enough for
// nearly every request. A longer message gets the rest of its window after its length is known, from a pool
// of kWindowPool bytes that the streams of a connection share.
inline constexpr std::int32_t kStreamWindow = 2 * 1024;
inline constexpr std::int32_t kConnectionWindow = 1024 * 1024;
inline constexpr std::size_t kWindowPool = std::size_t{128} * 1024;

// Memory for requests that no handler has taken yet, of one connection and of all connections of a listener.
// In the listener's sum every open stream counts as kStreamBytes more.
inline constexpr std::size_t kMaxHeldRequestBytes = std::size_t{1024} * 1024;
inline constexpr std::size_t kMaxListenerRequestBytes = std::size_t{32} * 1024 * 1024;
inline constexpr std::size_t kStreamBytes = 1024;

// Of one connection at a time.
inline constexpr std::uint32_t kMaxStreams = 128;
inline constexpr std::size_t kMaxHealthWatches = 2;

// Answers that the client has not read. When a connection has kMaxQueuedAnswerBytes, its new calls wait. When
// a listener has kMaxListenerAnswerBytes, it closes the connection with the most.
inline constexpr std::size_t kMaxQueuedAnswerBytes = std::size_t{256} * 1024;
inline constexpr std::size_t kMaxListenerAnswerBytes = std::size_t{32} * 1024 * 1024;

// A token bucket (token_bucket.h): `burst` at once, and `per_second` in the long run.
struct Rate {
  double burst;
  double per_second;
};
inline constexpr Rate kResets{1000, 200};  // streams of a connection that close before their answer is sent
inline constexpr Rate kControlFrames{2000, 1000};  // of a connection
inline constexpr double kControlFramesEarned =
    4;  // added by each HEADERS frame and each DATA frame with data
inline constexpr Rate kIgnoredBytes{64 * 1024,
                                    16 * 1024};  // bytes of frames without an effect, of a connection
// The most ignored bytes that are free of charge. After the server has closed a stream, the client may still
// send frames for it until it reads that.
inline constexpr std::size_t kMaxExpectedBytes = kMaxStreams * (kMaxMetadataBytes + kStreamWindow);
inline constexpr Rate kHandshakes{100, 100};  // TLS handshakes that one address begins

// Connections.
inline constexpr std::size_t kMaxConnections = 4096;  // of one listener
inline constexpr std::size_t kMaxHandshakes = 256;    // TLS handshakes of one listener at a time

// How long a client may take, and how long a connection lives. Tests use shorter times.
struct Times {
  std::chrono::milliseconds handshake =
      std::chrono::seconds(10);  // from accept to the end of the HTTP/2 preface
  std::chrono::milliseconds settings = std::chrono::seconds(10);  // to acknowledge the server's SETTINGS
  std::chrono::milliseconds request =
      std::chrono::seconds(20);  // from a request's header to its first whole message
  std::chrono::milliseconds answer = std::chrono::seconds(20);         // to read an answer
  std::chrono::milliseconds unknown_caller = std::chrono::minutes(5);  // until a call has been authenticated
  std::chrono::milliseconds unknown_caller_crowded =
      std::chrono::seconds(15);                               // the same, if the listener is half full
  std::chrono::milliseconds idle = std::chrono::minutes(30);  // without a call
  std::chrono::milliseconds age = std::chrono::minutes(60);
  std::chrono::milliseconds age_grace =
      std::chrono::minutes(10);  // for calls that run when the age is reached
  std::chrono::milliseconds keepalive = std::chrono::seconds(60);  // of silence until the server sends a PING
  std::chrono::milliseconds keepalive_answer = std::chrono::seconds(20);  // to answer that PING
  std::chrono::milliseconds goaway_notice =
      std::chrono::seconds(1);  // from the first GOAWAY to the second, at most
  std::chrono::milliseconds certificate_notice =
      std::chrono::minutes(1);                                 // retire before the certificate expires
  std::chrono::milliseconds linger = std::chrono::seconds(1);  // to drain the client's input while closing
};

// How long one connection may use its listener's thread before other connections run. A step that has begun
// is finished: a read of 16 KiB, or one call.
inline constexpr std::chrono::microseconds kTimeSlice{250};

}  // namespace tokend::rpc::bounds
