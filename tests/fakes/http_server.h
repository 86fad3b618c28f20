#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/http_exchange.h"

namespace tokend::fakes {

// What the server does with a new connection before it reads any byte from it.
enum class ConnectionFault {
  kNone,
  kClose,    // FIN
  kReset,    // RST
  kGarbage,  // bytes that are neither TLS nor HTTP, then FIN
  kSilence,  // the server sends nothing and keeps the connection open
};

struct HttpServerOptions {
  std::uint16_t port = 0;          // 0: any free port
  std::string host = "127.0.0.1";  // or another IPv4 address of this machine
  std::string unix_socket = {};    // the path of a socket to listen on instead
  std::string certificate_pem =
      {};  // a chain; empty: no TLS, and HTTP/1.1 unless HTTP/2 is the only protocol
  std::string private_key_pem = {};
  std::string client_ca_pem = {};  // who issues the certificates that clients must show; empty: need not
  std::vector<Protocol> protocols = {};  // for ALPN, the preferred one first; empty: no ALPN
  std::uint32_t max_concurrent_streams = 256;
};

// An HTTP/1.1 and HTTP/2 server on loopback with one thread for all connections. One thread at a time may
// call the public functions; the handler must not call them. They return once the server has done its work.
// The constructor starts to listen, and throws std::runtime_error if it cannot. The handler must outlive the
// server.
class HttpServer {
 public:
  HttpServer(HttpServerOptions options, Handler& handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;

  // Closes the listener and every connection, and ends the thread. A second call does nothing.
  void Stop();
  // Listens on the same port again, after Stop(), StopListening() or Action::kListenerGone.
  void Start();
  void StopListening();
  void CloseConnections();
  void SetConnectionFault(ConnectionFault fault);

  // The largest number of requests that waited for the end of a Reply::delay at the same time.
  std::size_t peak_delayed() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tokend::fakes
