#include "daemon/rpc/transport.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace tokend::rpc {
namespace {

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(int socket) : socket_(socket) {}

  Io Handshake() override { return Io::kDone; }
  std::string HandshakeError() const override { return ""; }

  Io Read(char* into, std::size_t size, std::size_t& got) override {
    const ssize_t received = recv(socket_, into, size, 0);
    if (received == 0) return Io::kClosed;
    if (received < 0) return IsLater() ? Io::kWantRead : Io::kFailed;
    got = static_cast<std::size_t>(received);
    return Io::kDone;
  }

  Io Write(std::string_view bytes, std::size_t& written) override {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) return IsLater() ? Io::kWantWrite : Io::kFailed;
    written = static_cast<std::size_t>(sent);
    return Io::kDone;
  }

  bool HasBufferedInput() const override { return false; }
  void SendCloseNotify() override {}
  Result<std::optional<ClientCertificate>> Certificate() const override {
    return std::optional<ClientCertificate>();
  }

 private:
  static bool IsLater() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

  int socket_;
};

// Like OpenSSL's socket BIO, but without SIGPIPE when the client has closed the connection.
int WriteQuietly(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent =
      send(static_cast<int>(BIO_get_fd(bio, nullptr)), bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && BIO_sock_should_retry(-1) != 0) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

const BIO_METHOD* QuietSocket() {
  static const BIO_METHOD* const method = [] {
    const BIO_METHOD* const socket = BIO_s_socket();
    BIO_METHOD* const quiet =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "quiet socket");
    BIO_meth_set_write(quiet, &WriteQuietly);
    BIO_meth_set_read(quiet, BIO_meth_get_read(socket));
    BIO_meth_set_ctrl(quiet, BIO_meth_get_ctrl(socket));
    BIO_meth_set_create(quiet, BIO_meth_get_create(socket));
    BIO_meth_set_destroy(quiet, BIO_meth_get_destroy(socket));
    return quiet;
  }();
  return method;
}

// The maximum of TLS records without application data after the handshake: alerts and key updates. A client
// updates its keys after about 10^7 records (RFC 8446, 5.5), so 100 are plenty.
constexpr int kMaxOtherRecords = 100;

class TlsTransport final : public Transport {
 public:
  explicit TlsTransport(SslSession session) : session_(std::move(session)) {}

  Io Handshake() override {
    ERR_clear_error();
    const int done = SSL_accept(session_.get());
    if (done != 1) return ToIo(done);
    const unsigned char* protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(session_.get(), &protocol, &size);
    has_no_protocol_ = size == 0;  // the client did not use ALPN
    SSL_set_msg_callback(session_.get(), &CountRecord);
    SSL_set_msg_callback_arg(session_.get(), this);
    return has_no_protocol_ ? Io::kFailed : Io::kDone;
  }

  std::string HandshakeError() const override {
    return has_no_protocol_ ? "the client offers no protocol (ALPN)" : rpc::HandshakeError(*session_);
  }
  std::string RefusedSubject() const override { return rpc::RefusedSubject(*session_); }

  // Fails if the client has sent too many records without application data. Also fails if OpenSSL must write
  // before it can read on: its answer to a key update does not fit into the socket's buffer, which happens
  // only if the client does not read.
  Io Read(char* into, std::size_t size, std::size_t& got) override {
    ERR_clear_error();
    const int done = SSL_read_ex(session_.get(), into, size, &got);
    if (other_records_ > kMaxOtherRecords) return Io::kFailed;
    if (done == 1) return Io::kDone;
    const Io io = ToIo(done);
    return io == Io::kWantWrite ? Io::kFailed : io;
  }

  Io Write(std::string_view bytes, std::size_t& written) override {
    ERR_clear_error();
    const int done = SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &written);
    if (done == 1) return Io::kDone;
    const Io io = ToIo(done);
    return io == Io::kWantRead ? Io::kFailed : io;
  }

  // Only the record that was read last can be buffered, since OpenSSL does not read ahead
  // (SSL_CTX_set_read_ahead(3)).
  bool HasBufferedInput() const override { return SSL_pending(session_.get()) > 0; }

  void SendCloseNotify() override {
    ERR_clear_error();
    if (!broken_) SSL_shutdown(session_.get());
  }

  Result<std::optional<ClientCertificate>> Certificate() const override {
    return ClientCertificateOf(*session_);
  }

 private:
  // OpenSSL reports the type of a received record in the record's header, and for TLS 1.3, whose headers do
  // not contain it, in a message of its own.
  static void CountRecord(int is_sent, int, int what, const void* bytes, std::size_t size, SSL*, void* self) {
    if (is_sent != 0 || size == 0 || (what != SSL3_RT_HEADER && what != SSL3_RT_INNER_CONTENT_TYPE)) return;
    const bool is_data = *static_cast<const unsigned char*>(bytes) == SSL3_RT_APPLICATION_DATA;
    if (!is_data) ++static_cast<TlsTransport*>(self)->other_records_;
  }

  Io ToIo(int result) {
    switch (SSL_get_error(session_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return Io::kWantRead;
      case SSL_ERROR_WANT_WRITE:
        return Io::kWantWrite;
      case SSL_ERROR_ZERO_RETURN:
        return Io::kClosed;
      default:
        broken_ = true;  // the session must not be used any more (SSL_get_error(3))
        return Io::kFailed;
    }
  }

  SslSession session_;
  int other_records_ = 0;  // records without application data since the handshake
  bool broken_ = false;
  bool has_no_protocol_ = false;
};

}  // namespace

std::unique_ptr<Transport> MakePlainTransport(int socket) { return std::make_unique<PlainTransport>(socket); }

std::unique_ptr<Transport> MakeTlsTransport(int socket, const TlsContext& context) {
  SslSession session = context.NewSession();
  BIO* const bio = session ? BIO_new(QuietSocket()) : nullptr;
  if (bio == nullptr) return nullptr;
  BIO_set_fd(bio, socket, BIO_NOCLOSE);
  SSL_set_bio(session.get(), bio, bio);
  return std::make_unique<TlsTransport>(std::move(session));
}

}  // namespace tokend::rpc
