#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tests/fakes/http_exchange.h"

namespace tokend::fakes {

inline constexpr std::size_t kMaxRequestHeader = std::size_t{64} << 10;
inline constexpr std::size_t kMaxRequestBody = std::size_t{1} << 20;

enum class Ending {
  kPolite,  // close_notify if the connection has TLS, then FIN
  kCut,     // FIN
  kReset,   // RST
};

// The connection of a codec. Only the server's thread calls it.
class CodecHost {
 public:
  virtual ~CodecHost() = default;

  // Fills in the request's facts about the connection and calls the handler's OnHeader.
  virtual std::optional<Reply> HeaderRead(Request& request) = 0;

  // Calls the handler, and calls Codec::Perform with the reply, at once or after its delay.
  virtual void RequestRead(std::int32_t stream, const Request& request) = 0;

  // Ends the connection once all output of the codec is written.
  virtual void EndAfterWriting(Ending ending) = 0;
};

// Parses the requests of one connection and writes the replies. Only the server's thread calls it.
class Codec {
 public:
  virtual ~Codec() = default;

  // Parses these bytes. May call the host.
  virtual void Receive(std::string_view bytes) = 0;

  // Performs the reply's action. Ignores a stream that has ended. Treats kListenerGone as kDrop: the host
  // closes the listener.
  virtual void Perform(std::int32_t stream, Reply reply) = 0;

  // Appends the next bytes to write, if there are any. Each call appends a limited number of bytes.
  virtual void Produce(std::string& out) = 0;
};

std::unique_ptr<Codec> MakeHttp1Codec(CodecHost& host);
std::unique_ptr<Codec> MakeHttp2Codec(CodecHost& host, std::uint32_t max_concurrent_streams);

}  // namespace tokend::fakes
