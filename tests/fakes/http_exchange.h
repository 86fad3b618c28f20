#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What passes between a connection of the fake server and what answers it.
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
  std::uint64_t connection = 0;  // 1, 2, 3 … in the order of accepting
  Protocol protocol = Protocol::kHttp1;
  std::shared_ptr<const Fault> fault;  // the handler's own, from OnHeader to OnRequest
};

// What the server does with a request. On HTTP/1.1 kStreamReset is kReset, and kGoAwayBelow is kDrop.
enum class Action {
  kAnswer,
  kAnswerThenClose,   // HTTP/2: GOAWAY that covers this request, the answer, then the end of the connection
  kHeaderThenDrop,    // the answer's header and not a byte of its body
  kHalfBodyThenDrop,  // the answer's header and half of its body
  kBlackHole,         // no answer, and the connection stays
  kDrop,              // ends the connection in good order (TLS close_notify, FIN) without a byte of answer
  kCut,               // FIN alone
  kReset,             // RST
  kStreamReset,       // RST_STREAM with Reply::http2_error
  kGoAwayBelow,       // GOAWAY whose last stream is below this one, then the end of the connection
  kListenerGone,      // closes the listening socket, then kDrop
  kMalformed,         // bytes that are not HTTP, then kDrop
};

struct Reply {
  Action action = Action::kAnswer;
  int status = 200;
  Headers headers;
  std::string body;
  std::chrono::milliseconds delay{0};
  std::uint32_t http2_error = 0;
  // HTTP/2: RST_STREAM with NO_ERROR after the answer (RFC 9113, 8.1). Only where the body was not looked at.
  bool reset_after_answer = false;
};

// Answers requests. Called on the server's thread only, which it must not block.
class Handler {
 public:
  virtual ~Handler() = default;

  virtual void OnAccepted() = 0;
  virtual void OnClosed() = 0;

  // The request's header is there. A reply here is given at once, and the body is not looked at.
  virtual std::optional<Reply> OnHeader(Request& request) = 0;

  // The request's body has been read whole.
  virtual Reply OnRequest(const Request& request) = 0;
};

}  // namespace tokend::fakes
