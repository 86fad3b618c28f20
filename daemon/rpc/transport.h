#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/rpc/tls_context.h"

namespace tokend::rpc {

// The bytes of one connection: of a non-blocking socket, plain or in TLS. It does not own the socket, which
// must stay open until it ends. One thread at a time.
class Transport {
 public:
  enum class Io {
    kDone,       // some bytes went; for a handshake: it is done
    kWantRead,   // goes on once the socket is readable
    kWantWrite,  // goes on once the socket is writable
    kClosed,     // the other side has said all
    kFailed,
  };

  virtual ~Transport() = default;

  // The next step of the handshake, until it is done. Reading and writing come after it.
  virtual Io Handshake() = 0;
  // Why Handshake failed, in fixed words.
  virtual std::string HandshakeError() const = 0;

  // Reads at most `size` bytes. kWantRead may mean that what came was for TLS itself.
  virtual Io Read(char* into, std::size_t size, std::size_t& got) = 0;
  // Writes some of these bytes. Where it wants to be asked again, it wants the same bytes, and may get more.
  virtual Io Write(std::string_view bytes, std::size_t& written) = 0;

  // Whether there are bytes to be read that the socket will not tell of.
  virtual bool HasBuffered() const = 0;

  // Tells the other side, if there is room, that nothing more comes.
  virtual void SayEnd() = 0;

  // The client's certificate, once the handshake is done. An error: it cannot be read.
  virtual Result<std::optional<ClientCertificate>> Certificate() const = 0;
};

std::unique_ptr<Transport> MakePlainTransport(int socket);

// Null where memory is short.
std::unique_ptr<Transport> MakeTlsTransport(int socket, const TlsContext& context);

}  // namespace tokend::rpc
