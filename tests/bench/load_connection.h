#pragma once

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/descriptor.h"

// The HTTP/2 connections of bench-load. Everything runs on one thread.
namespace tokend::bench {

using Clock = std::chrono::steady_clock;

enum class Protocol { kGrpc, kJson };

// One call, from its request to its answer.
struct Exchange {
  std::string_view path;
  std::string body;
  std::size_t sent = 0;  // bytes of the body
  Clock::time_point began;
  int http_status = 0;
  int grpc_status = -1;      // -1: the answer has none
  std::size_t received = 0;  // bytes of the answer's body
};

// What all connections of a run share.
struct ConnectionOptions {
  std::string address;     // "unix:///path" or "127.0.0.1:port"
  SSL_CTX* tls = nullptr;  // null: plaintext
  std::string identity;    // with TLS: the client's certificate is in identity.crt, its key in identity.key
  Protocol protocol = Protocol::kGrpc;
  std::uint32_t host = 0;  // over TCP: the client's address is 127.0.0.1 and so many more
};

// A connection. All functions throw std::runtime_error if the connection fails.
class Connection {
 public:
  // Called when a call has its whole answer. It may begin the next call, and must not throw.
  using OnAnswer = std::function<void(const Exchange&)>;

  // Connects, and waits until the server has answered a health check, well or not.
  Connection(const ConnectionOptions& options, OnAnswer on_answer);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Begins a call. Its bytes leave with the next Flush.
  void Call(std::string_view path, std::string_view body);

  // Reads what has arrived.
  void Read();
  // Writes what the socket takes.
  void Flush();

  int socket() const { return socket_.get(); }

 private:
  struct FreeTls {
    void operator()(SSL* tls) const { SSL_free(tls); }
  };
  struct FreeSession {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };

  void Connect();
  void StartTls();
  void StartSession();
  void AwaitHealthCheck();
  long ReadSome(char* into, std::size_t size);
  long WriteSome(std::string_view bytes);
  void OnStreamClosed(std::int32_t stream, Exchange& exchange, std::uint32_t error);

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                      std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                      std::uint8_t flags, void* connection);
  static ssize_t OnBodyWanted(nghttp2_session* session, std::int32_t stream, std::uint8_t* into,
                              std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                              void* connection);

  const ConnectionOptions options_;
  OnAnswer on_answer_;
  Descriptor socket_;
  std::unique_ptr<SSL, FreeTls> tls_;
  std::unique_ptr<nghttp2_session, FreeSession> session_;
  std::deque<Exchange> exchanges_;  // all that were ever needed at once
  std::vector<Exchange*> free_;
  std::string unsent_;
  std::string failure_;  // of a callback
};

}  // namespace tokend::bench
