#pragma once

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// HTTP/2 by hand: a client that sends what a test says, well-formed or not, and heeds nothing that it is
// told.
namespace tokend::fakes::http2 {

// What a TLS client shows and takes. The server's certificate is not looked at.
struct TlsClient {
  std::string certificate_pem = {};  // empty: none
  std::string private_key_pem = {};
  std::string protocol = "h2";  // ALPN; empty: none
  int newest_version = TLS1_3_VERSION;
  SSL_SESSION* resumed = nullptr;  // a session of an earlier connection to go on with
};

// A connection. Throws std::runtime_error where it cannot be made.
class Wire {
 public:
  // `address`: "unix:///path" or "127.0.0.1:port". `from`: the address to come from, in 127.0.0.0/8.
  explicit Wire(const std::string& address, const std::optional<TlsClient>& tls = std::nullopt,
                const std::string& from = "");
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Sends all of it, and keeps what comes meanwhile for Receive. False: the other side has closed, or has
  // taken nothing for `patience`.
  bool Send(std::string_view bytes, std::chrono::milliseconds patience = std::chrono::seconds(10));

  // The same, and drops what comes meanwhile.
  bool Blast(std::string_view bytes, std::chrono::milliseconds patience = std::chrono::seconds(1));

  // Waits for bytes and returns them. Empty if none came within `patience`, or the other side has closed.
  std::string Receive(std::chrono::milliseconds patience = std::chrono::seconds(10));

  // Reads until the other side closes. False: it did not within `patience`.
  bool AwaitClose(std::chrono::milliseconds patience = std::chrono::seconds(30));

  void ShutdownWrite();
  bool closed() const { return closed_; }  // by the other side
  int socket() const { return socket_; }
  // Whether the TLS server has given a ticket for the next connection, or has taken one of an earlier.
  bool has_session_ticket() const { return has_ticket_; }
  // Changes the keys that it writes with so often (TLS 1.3). False: the other side has closed.
  bool UpdateKeys(int times);
  bool is_resumed() const { return SSL_session_reused(session_.get()) == 1; }
  SSL_SESSION* session() const { return SSL_get0_session(session_.get()); }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* session) const { SSL_free(session); }
  };

  void Connect(const std::string& address, const std::string& from);
  void StartTls(const TlsClient& tls);
  bool Wait(short events, std::chrono::milliseconds patience) const;
  bool SendSome(std::string_view& bytes, std::chrono::milliseconds patience, bool keep);
  bool ReadSome(std::string& into);

  int socket_ = -1;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> session_;
  std::string received_;
  bool closed_ = false;
  bool has_ticket_ = false;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// `size` bytes, the most significant first.
std::string Number(std::uint64_t value, std::size_t size);

// One frame (RFC 9113, 4.1).
std::string Frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);

// Headers as HPACK literals that are not indexed, without Huffman coding.
std::string HeaderBlock(const Headers& headers);

// What every gRPC request begins with, and `more` behind.
Headers RequestHeaders(const std::string& path, const Headers& more = {});

// A header block on this stream, in as many frames as it takes; `flags` beside END_HEADERS.
std::string HeaderFrames(std::uint32_t stream, const Headers& headers, std::uint8_t flags = 0);

// A message with gRPC's five bytes before it.
std::string Message(std::string_view bytes, char flag = 0);

// A whole request: HEADERS and DATA that ends the stream.
std::string Request(std::uint32_t stream, const std::string& path, std::string_view message,
                    const Headers& more = {});

// What came back on one stream.
struct Reply {
  std::map<std::string, std::string> headers;  // trailers included
  std::string data;
  bool ended = false;
  std::optional<std::uint32_t> reset;  // its error code

  // "grpc-status" as a number; -1: none came.
  int code() const;
  // The first message, without its head.
  std::string message() const;
};

// A client on a wire: it keeps streams apart and decodes what comes.
class Http2Client {
 public:
  enum class Window { kGrow, kLeave };  // whether the client lets the server send on

  // Sends the preface and SETTINGS.
  explicit Http2Client(Wire& wire, const std::vector<std::pair<std::uint16_t, std::uint32_t>>& settings = {},
                       Window window = Window::kGrow);
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  // Begins a call and returns its stream.
  std::uint32_t Begin(const std::string& path, std::string_view message, const Headers& more = {});
  // Sends any frame.
  bool Send(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);
  std::uint32_t NextStream() { return std::exchange(next_stream_, next_stream_ + 2); }

  // The call's reply, once it has ended; as far as it has come after `patience`.
  Reply Await(std::uint32_t stream, std::chrono::milliseconds patience = std::chrono::seconds(30));
  Reply Call(const std::string& path, std::string_view message, const Headers& more = {}) {
    return Await(Begin(path, message, more));
  }

  // Takes frames until the condition holds. False: it does not after `patience`, or the connection has ended.
  template <class Condition>
  bool Until(Condition holds, std::chrono::milliseconds patience = std::chrono::seconds(30)) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
      const auto left = end - std::chrono::steady_clock::now();
      if (left.count() <= 0 || !Take(std::chrono::duration_cast<std::chrono::milliseconds>(left)))
        return holds();
    }
    return true;
  }

  // The error codes and last streams of the GOAWAY frames that came.
  const std::vector<std::pair<std::uint32_t, std::uint32_t>>& goaways() const { return goaways_; }
  const std::map<std::uint16_t, std::uint32_t>& settings() const { return settings_; }
  const Reply& reply(std::uint32_t stream) { return replies_[stream]; }
  std::size_t pings_answered() const { return pings_answered_; }
  // How many bytes the server lets the stream send beyond its first window.
  std::size_t window_granted(std::uint32_t stream) { return windows_[stream]; }
  // Whether PING is answered and SETTINGS acknowledged.
  void set_polite(bool polite) { polite_ = polite; }

 private:
  // Takes what comes. False: nothing within `patience`.
  bool Take(std::chrono::milliseconds patience);
  void OnFrame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);
  void Decode(std::uint32_t stream, std::string_view block, bool final);

  Wire& wire_;
  const Window window_;
  bool polite_ = true;
  std::uint32_t next_stream_ = 1;
  std::string bytes_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::map<std::uint32_t, Reply> replies_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> goaways_;
  std::map<std::uint16_t, std::uint32_t> settings_;
  std::map<std::uint32_t, std::size_t> windows_;
  std::size_t pings_answered_ = 0;
};

}  // namespace tokend::fakes::http2
