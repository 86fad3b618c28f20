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

// An HTTP/2 client for tests. It sends any bytes that the test gives it, well-formed or not, and ignores what
// the server asks of it.
namespace tokend::fakes::http2 {

// The options of a TLS client. It does not verify the server's certificate.
struct TlsClient {
  std::string certificate_pem = {};  // empty: none
  std::string private_key_pem = {};
  std::string protocol = "h2";  // ALPN; empty: none
  int newest_version = TLS1_3_VERSION;
  SSL_SESSION* resumed = nullptr;  // a session of an earlier connection to resume
};

// A connection. The constructor throws std::runtime_error if it cannot connect.
class Wire {
 public:
  // `address` is "unix:///path" or "127.0.0.1:port". `from` is the client's own address, in 127.0.0.0/8.
  explicit Wire(const std::string& address, const std::optional<TlsClient>& tls = std::nullopt,
                const std::string& from = "");
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Sends all bytes, and keeps bytes that arrive meanwhile for Receive. Returns false if the other side has
  // closed, or has accepted nothing for `patience`.
  bool Send(std::string_view bytes, std::chrono::milliseconds patience = std::chrono::seconds(10));

  // Like Send, but drops bytes that arrive meanwhile.
  bool Blast(std::string_view bytes, std::chrono::milliseconds patience = std::chrono::seconds(1));

  // Waits for bytes and returns them. Returns none if none arrived within `patience` or the other side has
  // closed.
  std::string Receive(std::chrono::milliseconds patience = std::chrono::seconds(10));

  // Reads until the other side closes. Returns false if it did not close within `patience`.
  bool AwaitClose(std::chrono::milliseconds patience = std::chrono::seconds(30));

  void ShutdownWrite();
  bool closed() const { return closed_; }  // by the other side
  int socket() const { return socket_; }
  // Whether the TLS server has issued a ticket for a later connection, or has accepted one of an earlier
  // connection.
  bool has_session_ticket() const { return has_ticket_; }
  // Updates the client's TLS 1.3 traffic keys this many times. Returns false if the other side has closed.
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

// Headers encoded as HPACK literals without indexing and without Huffman coding.
std::string HeaderBlock(const Headers& headers);

// The headers that every gRPC request needs, followed by `more`.
Headers RequestHeaders(const std::string& path, const Headers& more = {});

// A header block on this stream, split into as many frames as it needs. The first frame has `flags`, the last
// END_HEADERS.
std::string HeaderFrames(std::uint32_t stream, const Headers& headers, std::uint8_t flags = 0);

// A message after the five bytes of gRPC's prefix.
std::string Message(std::string_view bytes, char flag = 0);

// A complete request: HEADERS, and DATA that ends the stream.
std::string Request(std::uint32_t stream, const std::string& path, std::string_view message,
                    const Headers& more = {});

// What came back on one stream.
struct Reply {
  std::map<std::string, std::string> headers;  // including trailers
  std::string data;
  bool ended = false;
  std::optional<std::uint32_t> reset;  // the error code of RST_STREAM

  // "grpc-status" as a number, or -1 without one.
  int code() const;
  // The first message, without gRPC's prefix.
  std::string message() const;
};

// A client on a connection. It decodes frames and assigns them to their streams.
class Http2Client {
 public:
  enum class Window { kGrow, kLeave };  // whether the client sends WINDOW_UPDATE

  // Sends the preface and SETTINGS.
  explicit Http2Client(Wire& wire, const std::vector<std::pair<std::uint16_t, std::uint32_t>>& settings = {},
                       Window window = Window::kGrow);
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  // Starts a call and returns the number of its stream.
  std::uint32_t Begin(const std::string& path, std::string_view message, const Headers& more = {});
  // Sends any frame.
  bool Send(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);
  std::uint32_t NextStream() { return std::exchange(next_stream_, next_stream_ + 2); }

  // Waits for the end of the call and returns its reply. After `patience`, returns what has arrived of it.
  Reply Await(std::uint32_t stream, std::chrono::milliseconds patience = std::chrono::seconds(30));
  Reply Call(const std::string& path, std::string_view message, const Headers& more = {}) {
    return Await(Begin(path, message, more));
  }

  // Reads frames until the condition holds. Returns false if it does not hold after `patience`, or the
  // connection has ended.
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

  // The error codes and last stream numbers of the received GOAWAY frames.
  const std::vector<std::pair<std::uint32_t, std::uint32_t>>& goaways() const { return goaways_; }
  const std::map<std::uint16_t, std::uint32_t>& settings() const { return settings_; }
  const Reply& reply(std::uint32_t stream) { return replies_[stream]; }
  std::size_t pings_answered() const { return pings_answered_; }
  // How many bytes the server has added to the stream's first window by WINDOW_UPDATE.
  std::size_t window_granted(std::uint32_t stream) { return windows_[stream]; }
  // Whether the client answers PING and acknowledges SETTINGS.
  void set_polite(bool polite) { polite_ = polite; }

 private:
  // Reads and handles frames. Returns false if none arrived within `patience`.
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
