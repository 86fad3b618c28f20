#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/rpc/tls_context.h"

namespace tokend::rpc {

// Sends and receives the bytes of one connection over a non-blocking socket, with or without TLS. It does not
// own the socket, which must outlive it. One thread at a time.
class Transport {
 public:
  enum class Io {
    kDone,       // some bytes were transferred, or the handshake is complete
    kWantRead,   // try again when the socket is readable
    kWantWrite,  // try again when the socket is writable
    kClosed,     // the client has closed its side
    kFailed,
  };

  virtual ~Transport() = default;

  // Makes the next step of the handshake. Read and Write are allowed after it has returned kDone.
  virtual Io Handshake() = 0;
  // Why Handshake failed, in fixed words.
  virtual std::string HandshakeError() const = 0;
  // The name of the client certificate that made it fail (tls_context.h).
  virtual std::string RefusedSubject() const { return ""; }

  // Reads at most `size` bytes. It can return kWantRead although the socket was readable: TLS has consumed
  // the input.
  virtual Io Read(char* into, std::size_t size, std::size_t& got) = 0;
  // Writes some of these bytes. After kWantRead or kWantWrite the next call must begin with the same bytes,
  // and may have more behind them.
  virtual Io Write(std::string_view bytes, std::size_t& written) = 0;

  // Whether Read would return bytes even if the socket is not readable.
  virtual bool HasBufferedInput() const = 0;

  // Sends TLS's close_notify, if the socket's buffer has room.
  virtual void SendCloseNotify() = 0;

  // The client's certificate, after the handshake; nothing if none was requested. Fails if it cannot be read.
  virtual Result<std::optional<ClientCertificate>> Certificate() const = 0;
};

std::unique_ptr<Transport> MakePlainTransport(int socket);

// Null if there is no memory.
std::unique_ptr<Transport> MakeTlsTransport(int socket, const TlsContext& context);

}  // namespace tokend::rpc
