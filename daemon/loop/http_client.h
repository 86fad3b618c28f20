#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/secret.h"
#include "daemon/loop/tls_identity.h"

struct curl_slist;

namespace tokend::loop {

// Request headers. May hold secrets: move-only, never printed, wiped at the end.
class HeaderList {
 public:
  // Adds "name: value". The name and value must hold no control characters.
  void Add(std::string_view name, std::string_view value);

  // Libcurl's form of the list, owned by this.
  curl_slist* get() const { return list_.get(); }

 private:
  struct Wiper {
    void operator()(curl_slist* list) const;
  };
  std::unique_ptr<curl_slist, Wiper> list_;
};

// Whether the server can have seen the body of a POST: kYes once libcurl has asked for its first byte,
// however the transfer ends. The one exception is kNo after the server has refused the client's certificate:
// its TLS handshake failed, so it has read nothing.
enum class Sent { kNo, kYes };

struct HttpPost {
  enum class Connection { kAny, kNew, kRenewed };

  std::string url;
  std::shared_ptr<const HeaderList> headers;  // shared between requests with the same key
  std::string body;                           // not empty
  // kNew: one that has carried no request yet. Earlier connections are then retired. kRenewed: one that is
  // opened from now on.
  Connection connection = Connection::kAny;
  // Nothing of the request is sent later than this, by the loop's clock.
  std::chrono::steady_clock::time_point send_by = std::chrono::steady_clock::time_point::max();
  std::chrono::milliseconds timeout{0};  // of the whole exchange; 0: that of the client's options
  std::shared_ptr<Sent> sent = nullptr;  // set to kYes before the first byte of the body is sent; may be null
};

struct HttpGet {
  std::string url;
  std::shared_ptr<const HeaderList> headers;
};

enum class Ending {
  kComplete,  // the whole answer has come
  kTooLarge,  // `body` holds the first max_response_size bytes
  kBroken,    // no connection, reset, time-out, malformed: `error` says which
  kStopped,   // the client stopped first
};

// A field of an answer's header or trailer.
struct AnswerField {
  std::string name;  // as the options write it
  std::string value;
  bool in_trailer = false;
};

struct HttpAnswer {
  Sent sent = Sent::kNo;
  bool connected = false;  // the request had a connection
  Ending ending = Ending::kBroken;
  int status = 0;  // of the final answer's header; 0: no header came
  std::optional<std::chrono::seconds> retry_after;
  Secret body;
  bool encoded = false;             // the body has a Content-Encoding other than identity
  std::vector<AnswerField> fields;  // those in answer_fields, if the answer is complete
  std::string error;                // which server and why, in fixed words, for logs; empty when complete
  std::chrono::microseconds latency{0};
};

struct HttpClientOptions {
  std::string ca_file;                  // empty: the system's CAs
  std::chrono::seconds ca_max_age{60};  // how long CAs that the file no longer holds still count
  bool allow_http = false;
  std::string proxy = {};  // http://host:port: each connection goes through it, by CONNECT; empty: none
  // Requests go to one of these in place of the URL's host and port: an IP address and port ("10.0.0.7:8443",
  // "[::1]:8443"), or the path of a unix socket. Empty: not set.
  std::string connect_to = {};
  std::string unix_socket = {};
  std::string server = {};  // what `error` of an answer calls the server; empty: the URL's host and port
  // The client speaks HTTP/2 alone: a server that agrees to another protocol gets no request. Without TLS
  // each request has a connection of its own, because libcurl fails the second request on such a connection.
  bool only_http2 = false;
  // Called at each TLS handshake; returns what the client shows. Null, or a null result: no certificate.
  std::function<std::shared_ptr<const TlsIdentity>()> identity = {};
  std::vector<std::string> answer_fields = {};       // the names of the fields that HttpAnswer::fields holds
  std::size_t max_header_size = 65536;               // bytes of one answer, 1xx and trailers included
  std::chrono::milliseconds connect_timeout{0};      // TLS included
  std::chrono::milliseconds timeout{0};              // of the whole exchange
  std::chrono::milliseconds connection_max_idle{0};  // under 1 s: no reuse
  std::chrono::milliseconds connection_max_age{0};   // 0: any
  std::size_t connection_max_requests = 0;           // 0: any number
  std::size_t max_response_size = 0;                 // bytes
  std::size_t max_connections = 0;                   // without retired ones; HTTP/2 takes far fewer
};

// Sends requests and brings their answers; follows no redirect. A connection on which a request was not
// answered by a single byte is retired: it carries no further request, and closes once its last one has
// ended. So is one that has had connection_max_requests requests or is connection_max_age old. Loop thread
// only.
class HttpClient {
 public:
  using Done = absl::AnyInvocable<void(HttpAnswer)>;

  virtual ~HttpClient() = default;

  // Sends the request at most once, whatever the connection does. Calls `done` exactly once, on the loop
  // thread and never from within Post.
  virtual void Post(HttpPost request, Done done) = 0;

  // The same, but the request may be sent again where a connection drops before its answer.
  virtual void Get(HttpGet request, Done done) = 0;

  // Overwrites the copies of a secret that a complete answer has left in the client's buffers.
  virtual void WipeCopies(std::string_view secret) = 0;

  // Ends every transfer that runs: each `done` is called with Ending::kStopped before this returns.
  virtual void Stop() = 0;
};

}  // namespace tokend::loop
