#include "tests/fakes/http2_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

namespace tokend::fakes::http2 {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kFrameHead = 9;
constexpr std::size_t kMaxFrame = 16384;

std::uint64_t ReadNumber(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8U | static_cast<unsigned char>(byte);
  return value;
}

// An HPACK integer (RFC 7541, 5.1) with a prefix of seven bits.
std::string HpackLength(std::size_t length) {
  constexpr std::size_t kPrefix = 127;
  if (length < kPrefix) return std::string(1, static_cast<char>(length));
  std::string text(1, static_cast<char>(kPrefix));
  for (length -= kPrefix; length >= 128; length /= 128) text += static_cast<char>(length % 128 + 128);
  return text + static_cast<char>(length);
}

}  // namespace

Wire::Wire(const std::string& address, const std::optional<TlsClient>& tls, const std::string& from) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a connection that the server may have closed
  Connect(address, from);
  fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL) | O_NONBLOCK);
  if (tls) StartTls(*tls);
}

Wire::~Wire() {
  session_.reset();
  if (socket_ >= 0) close(socket_);
}

void Wire::Connect(const std::string& address, const std::string& from) {
  sockaddr_un local{};
  sockaddr_in tcp{};
  const sockaddr* to = nullptr;
  socklen_t size = 0;
  if (address.starts_with("unix://")) {
    local.sun_family = AF_UNIX;
    std::strncpy(local.sun_path, address.c_str() + std::strlen("unix://"), sizeof(local.sun_path) - 1);
    to = reinterpret_cast<const sockaddr*>(&local);
    size = sizeof(local);
  } else {
    tcp.sin_family = AF_INET;
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tcp.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    to = reinterpret_cast<const sockaddr*>(&tcp);
    size = sizeof(tcp);
  }
  socket_ = ::socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (!from.empty()) {
    sockaddr_in source{};
    source.sin_family = AF_INET;
    inet_pton(AF_INET, from.c_str(), &source.sin_addr);
    if (bind(socket_, reinterpret_cast<const sockaddr*>(&source), sizeof(source)) != 0) {
      throw std::runtime_error("cannot come from " + from);
    }
  }
  if (connect(socket_, to, size) != 0) {
    close(std::exchange(socket_, -1));
    throw std::runtime_error("cannot connect to " + address + ": " + std::strerror(errno));
  }
  const int yes = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

void Wire::StartTls(const TlsClient& tls) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context_.get(), tls.newest_version);
  SSL_CTX_set_app_data(context_.get(), this);
  SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_.get(), [](SSL* session, SSL_SESSION*) {
    static_cast<Wire*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(session)))->has_ticket_ = true;
    return 0;
  });
  const auto view = [](const std::string& pem) {
    return std::unique_ptr<BIO, decltype(&BIO_free)>(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  };
  if (!tls.certificate_pem.empty()) {
    X509* const certificate = PEM_read_bio_X509(view(tls.certificate_pem).get(), nullptr, nullptr, nullptr);
    EVP_PKEY* const key = PEM_read_bio_PrivateKey(view(tls.private_key_pem).get(), nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(context_.get(), certificate);
    SSL_CTX_use_PrivateKey(context_.get(), key);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  session_.reset(SSL_new(context_.get()));
  if (!tls.protocol.empty()) {
    const std::string offered = Number(tls.protocol.size(), 1) + tls.protocol;
    SSL_set_alpn_protos(session_.get(), reinterpret_cast<const unsigned char*>(offered.data()),
                        static_cast<unsigned>(offered.size()));
  }
  if (tls.resumed != nullptr) SSL_set_session(session_.get(), tls.resumed);
  SSL_set_fd(session_.get(), socket_);
  SSL_set_mode(session_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  for (;;) {
    const int done = SSL_connect(session_.get());
    if (done == 1) return;
    const int error = SSL_get_error(session_.get(), done);
    const short events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
    const bool goes_on = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    if (!goes_on || !Wait(events, std::chrono::seconds(20))) {
      ERR_clear_error();
      throw std::runtime_error("the TLS handshake failed");
    }
  }
}

bool Wire::Wait(short events, milliseconds patience) const {
  pollfd polled{socket_, events, 0};
  return poll(&polled, 1, static_cast<int>(patience.count())) > 0;
}

bool Wire::ReadSome(std::string& into) {
  std::array<char, 16384> buffer;
  for (;;) {
    ssize_t got = 0;
    if (session_) {
      const int read = SSL_read(session_.get(), buffer.data(), static_cast<int>(buffer.size()));
      const int error = SSL_get_error(session_.get(), read);
      ERR_clear_error();
      if (read <= 0 && (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)) return true;
      got = read;
    } else {
      got = recv(socket_, buffer.data(), buffer.size(), 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    }
    if (got <= 0) {
      closed_ = true;
      return false;
    }
    into.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

bool Wire::SendSome(std::string_view& bytes, milliseconds patience, bool keep) {
  ssize_t sent = 0;
  if (session_) {
    sent = SSL_write(session_.get(), bytes.data(),
                     static_cast<int>(std::min<std::size_t>(bytes.size(), 1U << 20U)));
    const int error = SSL_get_error(session_.get(), static_cast<int>(sent));
    ERR_clear_error();
    if (sent <= 0 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
  } else {
    sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
  }
  if (sent > 0) {
    bytes.remove_prefix(static_cast<std::size_t>(sent));
    return true;
  }
  if (!Wait(POLLIN | POLLOUT, patience)) return false;
  std::string dropped;
  ReadSome(keep ? received_ : dropped);
  return !closed_;
}

bool Wire::Send(std::string_view bytes, milliseconds patience) {
  while (!bytes.empty()) {
    if (!SendSome(bytes, patience, true)) return false;
  }
  return true;
}

bool Wire::Blast(std::string_view bytes, milliseconds patience) {
  while (!bytes.empty()) {
    if (!SendSome(bytes, patience, false)) return false;
  }
  std::string dropped;
  ReadSome(dropped);
  return !closed_;
}

std::string Wire::Receive(milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (received_.empty() && !closed_) {
    ReadSome(received_);
    if (!received_.empty() || closed_) break;
    const auto left = std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !Wait(POLLIN, left)) break;
  }
  return std::exchange(received_, {});
}

bool Wire::AwaitClose(milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!closed_) {
    const auto left = std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    Receive(left);
  }
  return true;
}

bool Wire::UpdateKeys(int times) {
  for (int i = 0; i < times; ++i) {
    if (SSL_key_update(session_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return false;
    for (int done = 0; (done = SSL_do_handshake(session_.get())) != 1;) {
      const bool is_blocked = SSL_get_error(session_.get(), done) == SSL_ERROR_WANT_WRITE;
      if (!is_blocked || !Wait(POLLOUT, std::chrono::seconds(10))) return false;
    }
  }
  return true;
}

void Wire::ShutdownWrite() { shutdown(socket_, SHUT_WR); }

std::string Number(std::uint64_t value, std::size_t size) {
  std::string text;
  for (std::size_t i = size; i-- > 0;) text += static_cast<char>(value >> (8 * i) & 0xFFU);
  return text;
}

std::string Frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
  return Number(payload.size(), 3) + static_cast<char>(type) + static_cast<char>(flags) + Number(stream, 4) +
         std::string(payload);
}

std::string HeaderBlock(const Headers& headers) {
  std::string block;
  for (const auto& [name, value] : headers) {
    block += '\0';
    block += HpackLength(name.size()) + name + HpackLength(value.size()) + value;
  }
  return block;
}

Headers RequestHeaders(const std::string& path, const Headers& more) {
  Headers headers = {{":method", "POST"},         {":scheme", "http"}, {":path", path},
                     {":authority", "localhost"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
  headers.insert(headers.end(), more.begin(), more.end());
  return headers;
}

std::string HeaderFrames(std::uint32_t stream, const Headers& headers, std::uint8_t flags) {
  const std::string block = HeaderBlock(headers);
  std::string frames;
  for (std::size_t at = 0; at < block.size(); at += kMaxFrame) {
    const bool last = at + kMaxFrame >= block.size();
    const auto ends = static_cast<std::uint8_t>(last ? NGHTTP2_FLAG_END_HEADERS : 0);
    frames += Frame(at == 0 ? NGHTTP2_HEADERS : NGHTTP2_CONTINUATION,
                    static_cast<std::uint8_t>(at == 0 ? flags | ends : ends), stream,
                    std::string_view(block).substr(at, kMaxFrame));
  }
  return frames;
}

std::string Message(std::string_view bytes, char flag) {
  return flag + Number(bytes.size(), 4) + std::string(bytes);
}

std::string Request(std::uint32_t stream, const std::string& path, std::string_view message,
                    const Headers& more) {
  return HeaderFrames(stream, RequestHeaders(path, more)) +
         Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Message(message));
}

int Reply::code() const {
  const auto status = headers.find("grpc-status");
  return status == headers.end() ? -1 : std::stoi(status->second);
}

std::string Reply::message() const {
  constexpr std::size_t kHead = 5;
  if (data.size() < kHead) return "";
  return data.substr(kHead, ReadNumber(std::string_view(data).substr(1, 4)));
}

Http2Client::Http2Client(Wire& wire, const std::vector<std::pair<std::uint16_t, std::uint32_t>>& settings,
                         Window window)
    : wire_(wire), window_(window) {
  nghttp2_hd_inflate_new(&inflater_);
  std::string payload;
  for (const auto& [id, value] : settings) payload += Number(id, 2) + Number(value, 4);
  wire_.Send(std::string(kPreface) + Frame(NGHTTP2_SETTINGS, 0, 0, payload));
}

Http2Client::~Http2Client() { nghttp2_hd_inflate_del(inflater_); }

std::uint32_t Http2Client::Begin(const std::string& path, std::string_view message, const Headers& more) {
  const std::uint32_t stream = NextStream();
  wire_.Send(Request(stream, path, message, more));
  return stream;
}

bool Http2Client::Send(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                       std::string_view payload) {
  return wire_.Send(Frame(type, flags, stream, payload));
}

Reply Http2Client::Await(std::uint32_t stream, milliseconds patience) {
  Until([&] { return replies_[stream].ended || replies_[stream].reset; }, patience);
  return replies_[stream];
}

bool Http2Client::Take(milliseconds patience) {
  const std::string got = wire_.Receive(patience);
  bytes_ += got;
  std::string_view rest = bytes_;
  while (rest.size() >= kFrameHead) {
    const std::size_t size = ReadNumber(rest.substr(0, 3));
    if (rest.size() < kFrameHead + size) break;
    OnFrame(static_cast<std::uint8_t>(rest[3]), static_cast<std::uint8_t>(rest[4]),
            static_cast<std::uint32_t>(ReadNumber(rest.substr(5, 4))), rest.substr(kFrameHead, size));
    rest.remove_prefix(kFrameHead + size);
  }
  bytes_ = std::string(rest);
  return !got.empty();
}

void Http2Client::OnFrame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                          std::string_view payload) {
  const bool ends = (flags & NGHTTP2_FLAG_END_STREAM) != 0;
  const bool acknowledges = (flags & NGHTTP2_FLAG_ACK) != 0;
  switch (type) {
    case NGHTTP2_DATA:
      replies_[stream].data += payload;
      replies_[stream].ended = replies_[stream].ended || ends;
      if (window_ == Window::kGrow && !payload.empty()) {
        Send(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(payload.size(), 4));
        if (!ends) Send(NGHTTP2_WINDOW_UPDATE, 0, stream, Number(payload.size(), 4));
      }
      return;
    case NGHTTP2_WINDOW_UPDATE:
      windows_[stream] += ReadNumber(payload);
      return;
    case NGHTTP2_HEADERS:
      Decode(stream, payload, true);
      replies_[stream].ended = replies_[stream].ended || ends;
      return;
    case NGHTTP2_RST_STREAM:
      if (!replies_[stream].ended) replies_[stream].reset = static_cast<std::uint32_t>(ReadNumber(payload));
      return;
    case NGHTTP2_SETTINGS:
      for (std::size_t at = 0; at + 6 <= payload.size(); at += 6) {
        settings_[static_cast<std::uint16_t>(ReadNumber(payload.substr(at, 2)))] =
            static_cast<std::uint32_t>(ReadNumber(payload.substr(at + 2, 4)));
      }
      if (!acknowledges && polite_) Send(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "");
      return;
    case NGHTTP2_PING:
      if (acknowledges) ++pings_answered_;
      if (!acknowledges && polite_) Send(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, payload);
      return;
    case NGHTTP2_GOAWAY:
      goaways_.emplace_back(static_cast<std::uint32_t>(ReadNumber(payload.substr(4, 4))),
                            static_cast<std::uint32_t>(ReadNumber(payload.substr(0, 4))));
      return;
    default:
      return;
  }
}

void Http2Client::Decode(std::uint32_t stream, std::string_view block, bool final) {
  for (;;) {
    nghttp2_nv header{};
    int flags = 0;
    const ssize_t taken = nghttp2_hd_inflate_hd2(inflater_, &header, &flags,
                                                 reinterpret_cast<const std::uint8_t*>(block.data()),
                                                 block.size(), final ? 1 : 0);
    if (taken < 0) throw std::runtime_error("the server's header block cannot be read");
    block.remove_prefix(static_cast<std::size_t>(taken));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      replies_[stream].headers[std::string(reinterpret_cast<const char*>(header.name), header.namelen)] =
          std::string(reinterpret_cast<const char*>(header.value), header.valuelen);
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
      nghttp2_hd_inflate_end_headers(inflater_);
      return;
    }
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && block.empty()) return;
  }
}

}  // namespace tokend::fakes::http2
