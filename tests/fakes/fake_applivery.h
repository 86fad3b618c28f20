#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fakes/http_exchange.h"
#include "tests/fakes/http_server.h"

namespace tokend::fakes {

// The ordinary answer. In a fault's body and header values these stand for what the answer is about, ready to
// stand in JSON: {id} {organization} {application} {description} {bearer} (within quotes), {scopes} (an
// array), and {authorization}, the request's own header.
inline constexpr std::string_view kSuccessBody =
    R"({"status":true,"data":{"id":"{id}","organization":"{organization}","application":"{application}",)"
    R"("description":"{description}","bearer":"{bearer}","scopes":{scopes}}})";

// What happens to one request in place of the ordinary answer. The makers below give the kinds; the functions
// that return a Fault change one and hand it on.
//
// A token is minted, as in the ordinary case, where the answer names {id} or {bearer} and where the caller
// cannot know better (a drop, a black hole, half an answer, RST_STREAM); none where the protocol says that
// the request was not processed (REFUSED_STREAM, HTTP_1_1_REQUIRED, kGoAwayBelow); Minting() says otherwise.
// A request that would be refused anyway mints nothing.
struct Fault {
  struct Answer {
    int status = 200;
    std::string body;
    Headers headers;
  };

  Action action = Action::kAnswer;
  std::optional<Answer> answer;  // none: the ordinary one
  std::chrono::milliseconds delay{0};
  std::uint32_t http2_error = 0;
  bool early = false;
  bool reset_after_answer = false;
  std::optional<bool> minting;

  Fault After(std::chrono::milliseconds wait) const;  // from the request's last byte
  Fault BeforeBody() const;                           // acts on the header; the body is not looked at
  // As nginx does it: on HTTP/2 an RST_STREAM with NO_ERROR follows the answer. libcurl 7.88 then loses the
  // answer as often as not, and ends in CURLE_HTTP2_STREAM.
  Fault BeforeBodyThenReset() const;
  Fault Minting(bool yes) const;
  Fault WithHeader(std::string name, std::string value) const;
  Fault WithAction(Action does) const;

  static Fault None();  // the ordinary answer, for a script's gaps and for After()
  static Fault Of(Action action);
  static Fault StreamReset(std::uint32_t http2_error);
  static Fault Status(int status, std::string body, std::string content_type = "application/json");
  static Fault Error(int status, int code);  // status: false, as on the vendor's page
  static Fault Success(std::string body);    // 200 with this body
  // The ordinary answer with the first `from` in kSuccessBody replaced. `from` must be there.
  static Fault SuccessReplacing(std::string_view from, std::string_view to);
  static Fault Oversized(std::size_t bytes);          // a success of more than so many bytes
  static Fault RateLimited(std::string retry_after);  // 429; empty: without Retry-After
  static Fault Redirect(int status);           // to a path of this server that counts as a stray request
  static Fault EchoAuthorization(int status);  // in a header and in the body

  // KIND[:ARG] of fake-applivery --fault; nothing if it is none. FaultKinds() lists them.
  static std::optional<Fault> Parse(std::string_view text);
};

// One line a kind that Fault::Parse takes.
std::string FaultKinds();

// A POST to a tokens route whose body was read whole, whatever became of it.
struct Post {
  std::string organization;
  std::string application;
  std::string body;
  std::optional<std::string> description;          // as parsed, where the body is as documented
  std::optional<std::vector<std::string>> scopes;  // likewise
  std::optional<std::size_t> api_key;              // which of the keys it came with
  std::uint64_t connection = 0;
  Protocol protocol = Protocol::kHttp1;
  std::chrono::system_clock::time_point time;
};

struct MintedToken {
  std::string id;
  std::string bearer;
  std::string organization;  // 24 hex digits
  std::string application;   // 24 hex digits
  std::string description;
  std::vector<std::string> scopes;
};

struct Counts {
  std::size_t posts = 0;           // bodies read whole
  std::size_t unread_posts = 0;    // acted on before the body
  std::size_t stray_requests = 0;  // anything that is not a POST to a tokens route
  std::size_t tokens = 0;
  std::size_t connections = 0;  // accepted
  std::size_t open_connections = 0;
};

// The organization's or application's id: the name itself where it is 24 hex digits, else a stable hash of
// it.
std::string ObjectIdOf(std::string_view name);

enum class Transport { kTls, kPlain };
enum class ScriptEnd { kOrdinary, kRepeatLast };

struct FakeAppliveryOptions {
  std::uint16_t port = 0;  // 0: any that is free
  std::vector<std::string> api_keys = {"fake-api-key"};
  Transport transport = Transport::kTls;
  std::vector<Protocol> protocols = {Protocol::kHttp2, Protocol::kHttp1};  // plain: HTTP/1.1 alone
  // Without certificate files: a new CA, and a certificate of it for these.
  std::vector<std::string> certificate_hosts = {"localhost", "127.0.0.1"};
  std::string certificate_file;
  std::string private_key_file;
  std::string ca_file;  // where the new CA is written to; empty: nowhere
  std::uint32_t max_concurrent_streams = 256;
  std::chrono::milliseconds delay{0};      // before every answer without a fault
  std::size_t max_remembered = 1'000'000;  // posts and tokens, each; later ones are only counted
};

// Applivery's "add new token", kept to the letter of the vendor's page, on 127.0.0.1, with faults on command.
// An application named "missing" does not exist. Runs from construction to destruction; std::runtime_error
// where it cannot start. Any thread may call any function, but Stop, Restart, StopListening and
// CloseConnections one thread at a time.
class FakeApplivery {
 public:
  explicit FakeApplivery(FakeAppliveryOptions options = {});
  ~FakeApplivery();
  FakeApplivery(const FakeApplivery&) = delete;
  FakeApplivery& operator=(const FakeApplivery&) = delete;

  std::uint16_t port() const;
  std::string base_url() const;       // https://localhost:PORT
  const std::string& ca_pem() const;  // empty with certificate files

  // What the next requests for the application meet, one each. Replaces what is left of an earlier script.
  void Script(const std::string& application, std::vector<Fault> faults,
              ScriptEnd end = ScriptEnd::kOrdinary);
  void SetApiKeys(std::vector<std::string> api_keys);
  void SetConnectionFault(ConnectionFault fault);  // of connections from now on

  // Everything closed, and connections refused, until Restart() listens on the same port.
  void Stop();
  void Restart();
  void StopListening();  // open connections stay
  void CloseConnections();

  Counts counts() const;
  std::vector<Post> posts() const;
  std::vector<MintedToken> tokens() const;
  // The most requests that have waited for the end of a delay at once.
  std::size_t peak_delayed() const;

  // False: not within the time.
  bool WaitUntil(const std::function<bool(const Counts&)>& holds, std::chrono::milliseconds timeout) const;
  bool WaitForPosts(std::size_t count, std::chrono::milliseconds timeout) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tokend::fakes
