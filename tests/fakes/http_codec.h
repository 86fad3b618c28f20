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
  kPolite,  // close_notify where there is TLS, then FIN
  kCut,     // FIN
  kReset,   // RST
};

// The connection that a codec speaks for. Server thread only.
class CodecHost {
 public:
  virtual ~CodecHost() = default;

  // Fills in what the connection knows, and asks the handler.
  virtual std::optional<Reply> HeaderRead(Request& request) = 0;

  // Asks the handler and sees to it that Codec::Perform is called with the reply, now or later.
  virtual void RequestRead(std::int32_t stream, const Request& request) = 0;

  // Ends the connection once everything that the codec has produced is written.
  virtual void EndAfterWriting(Ending ending) = 0;
};

// One connection's HTTP, between bytes and requests. Server thread only.
class Codec {
 public:
  virtual ~Codec() = default;

  // Takes what was read. May call the host.
  virtual void Receive(std::string_view bytes) = 0;

  // Does what the reply says. A stream that is gone is ignored. kListenerGone is the host's matter and acts
  // as kDrop here.
  virtual void Perform(std::int32_t stream, Reply reply) = 0;

  // Appends bytes to be written; nothing if there is none. Bounded at each call.
  virtual void Produce(std::string& out) = 0;
};

std::unique_ptr<Codec> MakeHttp1Codec(CodecHost& host);
std::unique_ptr<Codec> MakeHttp2Codec(CodecHost& host, std::uint32_t max_concurrent_streams);

}  // namespace tokend::fakes
