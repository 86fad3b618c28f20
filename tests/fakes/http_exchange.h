#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The requests and replies between the fake HTTP server and its handler.
namespace tokend::fakes {

struct Fault;

enum class Protocol { kHttp1, kHttp2 };

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;
  std::string path;
  std::optional<std::string> authorization;
  std::string content_type;
  std::string body;
  Headers headers;               // HTTP/2 alone: all but the pseudo-headers
  std::string authority;         // HTTP/2 alone
  std::string client;            // a name in the client's certificate; empty: it has shown none
  std::uint64_t connection = 0;  // 1, 2, 3 … in the order in which they were accepted
  Protocol protocol = Protocol::kHttp1;
  std::shared_ptr<const Fault> fault;  // set by the handler in OnHeader, for its OnRequest
};

// What the server does with a request. HTTP/1.1 treats kStreamReset as kReset and kGoAwayBelow as kDrop.
enum class Action {
  kAnswer,
  kAnswerThenClose,   // HTTP/2: GOAWAY that includes this request, the answer, then the end of the connection
  kHeaderThenDrop,    // the answer's header and no byte of its body, then kDrop
  kHalfBodyThenDrop,  // the answer's header and half of its body, then kDrop
  kBlackHole,         // no answer, and the connection stays open
  kDrop,              // closes the connection orderly (TLS close_notify, FIN) without an answer
  kCut,               // FIN alone
  kReset,             // RST
  kStreamReset,       // RST_STREAM with Reply::http2_error
  kGoAwayBelow,       // GOAWAY whose last stream is below this request's, then the end of the connection
  kListenerGone,      // closes the listening socket, then kDrop
  kMalformed,         // bytes that are not HTTP, then kDrop
};

struct Reply {
  Action action = Action::kAnswer;
  int status = 200;
  Headers headers;
  std::string body;
  Headers trailers = {};     // HTTP/2 alone
  bool header_only = false;  // HTTP/2 alone: the header ends the answer
  std::chrono::milliseconds delay{0};
  std::uint32_t http2_error = 0;
  // HTTP/2: RST_STREAM with NO_ERROR follows the answer (RFC 9113, 8.1). Only for a reply from OnHeader.
  bool reset_after_answer = false;
};

// Answers requests. Only the server's thread calls it; the handler must not block that thread.
class Handler {
 public:
  virtual ~Handler() = default;

  virtual void OnAccepted() = 0;
  virtual void OnClosed() = 0;

  // Called after the request's header. If this returns a reply, the server sends it at once and ignores the
  // body.
  virtual std::optional<Reply> OnHeader(Request& request) = 0;

  // Called after the end of the request's body.
  virtual Reply OnRequest(const Request& request) = 0;
};

}  // namespace tokend::fakes
