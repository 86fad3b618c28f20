#include "tests/bench/load_connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace tokend::bench {
namespace {

constexpr int kPatienceMs = 10'000;
constexpr std::int32_t kWindow = 1 << 24;  // so that hardly a WINDOW_UPDATE is sent
constexpr std::size_t kReadSize = 64 << 10;
constexpr std::string_view kHealthPath = "/grpc.health.v1.Health/Check";
constexpr std::string_view kEmptyMessage("\0\0\0\0\0", 5);

[[noreturn]] void Fail(const std::string& what) { throw std::runtime_error(what); }

int NumberOf(const std::uint8_t* text, std::size_t size) {
  int number = -1;
  const auto* const begin = reinterpret_cast<const char*>(text);
  std::from_chars(begin, begin + size, number);
  return number;
}

nghttp2_nv Header(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

}  // namespace

Connection::Connection(const ConnectionOptions& options, OnAnswer on_answer)
    : options_(options), on_answer_(std::move(on_answer)) {
  Connect();
  if (options_.tls != nullptr) StartTls();
  fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
  StartSession();
  AwaitHealthCheck();
}

void Connection::Connect() {
  const std::string unix_scheme = "unix://";
  if (options_.address.starts_with(unix_scheme)) {
    sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
    const std::string path = options_.address.substr(unix_scheme.size());
    if (path.size() >= sizeof to.sun_path) Fail("the path of the socket is too long");
    std::memcpy(to.sun_path, path.data(), path.size());
    socket_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      Fail("cannot connect to " + options_.address + ": " + std::strerror(errno));
    return;
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port =
      htons(static_cast<std::uint16_t>(std::stoul(options_.address.substr(options_.address.rfind(':') + 1))));
  socket_ = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // Servers count connections by their clients' addresses.
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + options_.host);
  if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0)
    Fail(std::string("cannot bind: ") + std::strerror(errno));
  if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    Fail("cannot connect to " + options_.address + ": " + std::strerror(errno));
  const int on = 1;
  setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void Connection::StartTls() {
  tls_.reset(SSL_new(options_.tls));
  const unsigned char h2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(tls_.get(), h2, sizeof h2);
  SSL_set_tlsext_host_name(tls_.get(), "localhost");
  SSL_set1_host(tls_.get(), "localhost");
  if (!options_.identity.empty() &&
      (SSL_use_certificate_file(tls_.get(), (options_.identity + ".crt").c_str(), SSL_FILETYPE_PEM) != 1 ||
       SSL_use_PrivateKey_file(tls_.get(), (options_.identity + ".key").c_str(), SSL_FILETYPE_PEM) != 1)) {
    Fail("cannot read the certificate " + options_.identity);
  }
  SSL_set_fd(tls_.get(), socket_.get());
  if (SSL_connect(tls_.get()) != 1) Fail("the TLS handshake with " + options_.address + " failed");
}

void Connection::StartSession() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &Connection::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session* session, std::uint8_t, std::int32_t stream, const std::uint8_t*,
                    std::size_t size, void*) {
        auto* const exchange = static_cast<Exchange*>(nghttp2_session_get_stream_user_data(session, stream));
        if (exchange != nullptr) exchange->received += size;
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session* session, std::int32_t stream, std::uint32_t error, void* connection) {
        auto* const exchange = static_cast<Exchange*>(nghttp2_session_get_stream_user_data(session, stream));
        if (exchange != nullptr)
          static_cast<Connection*>(connection)->OnStreamClosed(stream, *exchange, error);
        return 0;
      });
  nghttp2_session* session = nullptr;
  nghttp2_session_client_new(&session, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  session_.reset(session);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow}};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kWindow);
}

void Connection::AwaitHealthCheck() {
  bool answered = false;
  OnAnswer on_answer = std::exchange(on_answer_, [&](const Exchange&) { answered = true; });
  Call(kHealthPath, kEmptyMessage);
  Flush();
  while (!answered) {
    pollfd readable{socket_.get(), POLLIN, 0};
    if (poll(&readable, 1, kPatienceMs) != 1) Fail(options_.address + " does not answer");
    Read();
    Flush();
  }
  on_answer_ = std::move(on_answer);
}

void Connection::Call(std::string_view path, std::string_view body) {
  if (free_.empty()) free_.push_back(&exchanges_.emplace_back());
  Exchange& exchange = *free_.back();
  free_.pop_back();
  exchange.path = path;
  exchange.body.assign(body);
  exchange.sent = 0;
  exchange.began = Clock::now();
  exchange.http_status = 0;
  exchange.grpc_status = -1;
  exchange.received = 0;
  const bool is_grpc = options_.protocol == Protocol::kGrpc;
  const std::array<nghttp2_nv, 7> headers = {
      Header(":method", "POST"),
      Header(":scheme", tls_ ? "https" : "http"),
      Header(":path", path),
      Header(":authority", "localhost"),
      Header("content-type", is_grpc ? "application/grpc" : "application/json"),
      Header("te", "trailers"),
      Header("grpc-timeout", "60S"),
  };
  const nghttp2_data_provider provider{.source = {.ptr = &exchange}, .read_callback = &OnBodyWanted};
  const std::int32_t stream =
      nghttp2_submit_request(session_.get(), nullptr, headers.data(),
                             is_grpc ? headers.size() : headers.size() - 2, &provider, &exchange);
  if (stream < 0) failure_ = nghttp2_strerror(stream);
}

int Connection::OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                         std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                         std::uint8_t /*flags*/, void* /*connection*/) {
  auto* const exchange =
      static_cast<Exchange*>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
  if (exchange == nullptr) return 0;
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  if (key == ":status") exchange->http_status = NumberOf(value, value_size);
  if (key == "grpc-status") exchange->grpc_status = NumberOf(value, value_size);
  return 0;
}

ssize_t Connection::OnBodyWanted(nghttp2_session* /*session*/, std::int32_t /*stream*/, std::uint8_t* into,
                                 std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                                 void* /*connection*/) {
  auto& exchange = *static_cast<Exchange*>(source->ptr);
  const std::size_t part = std::min(size, exchange.body.size() - exchange.sent);
  std::memcpy(into, exchange.body.data() + exchange.sent, part);
  exchange.sent += part;
  if (exchange.sent == exchange.body.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(part);
}

// A callback of nghttp2: it must not throw.
void Connection::OnStreamClosed(std::int32_t stream, Exchange& exchange, std::uint32_t error) {
  if (error != NGHTTP2_NO_ERROR)
    failure_ = "a stream was reset: " + std::string(nghttp2_http2_strerror(error));
  nghttp2_session_set_stream_user_data(session_.get(), stream, nullptr);
  on_answer_(exchange);
  free_.push_back(&exchange);
}

long Connection::ReadSome(char* into, std::size_t size) {
  if (!tls_) {
    const ssize_t got = recv(socket_.get(), into, size, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) Fail(options_.address + " has closed the connection");
    return got;
  }
  const int got = SSL_read(tls_.get(), into, static_cast<int>(size));
  if (got > 0) return got;
  if (SSL_get_error(tls_.get(), got) == SSL_ERROR_WANT_READ) return 0;
  Fail(options_.address + " has closed the connection");
}

long Connection::WriteSome(std::string_view bytes) {
  if (!tls_) {
    const ssize_t written = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written < 0 && errno == EAGAIN) return 0;
    if (written < 0) Fail(options_.address + " has closed the connection");
    return written;
  }
  const int written = SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (written > 0) return written;
  if (SSL_get_error(tls_.get(), written) == SSL_ERROR_WANT_WRITE) return 0;
  Fail(options_.address + " has closed the connection");
}

void Connection::Read() {
  std::array<char, kReadSize> buffer;
  while (const long got = ReadSome(buffer.data(), buffer.size())) {
    const ssize_t used = nghttp2_session_mem_recv(
        session_.get(), reinterpret_cast<const std::uint8_t*>(buffer.data()), static_cast<std::size_t>(got));
    if (used < 0) Fail(nghttp2_strerror(static_cast<int>(used)));
    if (!failure_.empty()) Fail(failure_);
  }
}

void Connection::Flush() {
  for (;;) {
    const std::uint8_t* bytes = nullptr;
    while (unsent_.size() < kReadSize) {
      const ssize_t size = nghttp2_session_mem_send(session_.get(), &bytes);
      if (size < 0) Fail(nghttp2_strerror(static_cast<int>(size)));
      if (size == 0) break;
      unsent_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    }
    if (unsent_.empty()) return;
    const long written = WriteSome(unsent_);
    if (written == 0) return;
    unsent_.erase(0, static_cast<std::size_t>(written));
  }
}

}  // namespace tokend::bench
