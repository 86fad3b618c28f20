#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/http_exchange.h"

namespace tokend::fakes {

// What becomes of a new connection before a byte of TLS or HTTP is read from it.
enum class ConnectionFault {
  kNone,
  kClose,    // FIN
  kReset,    // RST
  kGarbage,  // bytes that are neither TLS nor HTTP, then FIN
  kSilence,  // nothing, for as long as the client waits
};

struct HttpServerOptions {
  std::uint16_t port = 0;       // 0: any that is free
  std::string certificate_pem;  // a chain; empty: no TLS, and HTTP/1.1 alone
  std::string private_key_pem;
  std::vector<Protocol> protocols;  // by ALPN, the preferred one first
  std::uint32_t max_concurrent_streams = 256;
};

// An HTTP/1.1 and HTTP/2 server on 127.0.0.1 whose one thread serves every connection. Public functions may
// be called by any one thread at a time but not by the handler, and return once the server has done as asked.
// Listens from its construction; std::runtime_error where it cannot. The handler must outlive it.
class HttpServer {
 public:
  HttpServer(HttpServerOptions options, Handler& handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;

  // Closes the listener and every connection, and ends the thread. Again: nothing.
  void Stop();
  // Listens on the same port again, after Stop(), StopListening() or Action::kListenerGone.
  void Start();
  void StopListening();
  void CloseConnections();
  void SetConnectionFault(ConnectionFault fault);

  // The most requests that have waited for the end of a Reply::delay at once.
  std::size_t peak_delayed() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tokend::fakes
