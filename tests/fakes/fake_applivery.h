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
#include "tests/fakes/test_certificate.h"

namespace tokend::fakes {

// The ordinary answer. The server replaces these placeholders in the body and the header values of a fault:
// {id} {organization} {application} {description} {bearer} (JSON strings without their quotes), {scopes} (a
// JSON array), and {authorization} (the header of the request).
inline constexpr std::string_view kSuccessBody =
    R"({"status":true,"data":{"id":"{id}","organization":"{organization}","application":"{application}",)"
    R"("description":"{description}","bearer":"{bearer}","scopes":{scopes}}})";

// What the server does with one request instead of the ordinary answer. The static functions below make a
// fault of each kind. The member functions return a changed copy.
//
// The server mints a token if the answer names {id} or {bearer}, and if the caller cannot know the outcome (a
// drop, a black hole, half an answer, RST_STREAM). It mints none if the protocol says that the request was
// not processed (REFUSED_STREAM, HTTP_1_1_REQUIRED, kGoAwayBelow). Minting() overrides this. A request that
// the server would refuse without the fault never mints a token.
struct Fault {
  struct Answer {
    int status = 200;
    std::string body;
    Headers headers;
  };

  Action action = Action::kAnswer;
  std::optional<Answer> answer;  // without: the ordinary answer
  std::chrono::milliseconds delay{0};
  std::uint32_t http2_error = 0;
  bool early = false;
  bool reset_after_answer = false;
  std::optional<bool> minting;

  Fault After(std::chrono::milliseconds wait) const;  // counted from the request's last byte
  Fault BeforeBody() const;                           // acts after the header and does not read the body
  // Like nginx: on HTTP/2, an RST_STREAM with NO_ERROR follows the answer. libcurl 7.88 then loses about half
  // of the answers and fails with CURLE_HTTP2_STREAM.
  Fault BeforeBodyThenReset() const;
  Fault Minting(bool yes) const;
  Fault WithHeader(std::string name, std::string value) const;
  Fault WithAction(Action does) const;

  static Fault None();  // the ordinary answer, to fill a place in a script or to delay by After()
  static Fault Of(Action action);
  static Fault StreamReset(std::uint32_t http2_error);
  static Fault Status(int status, std::string body, std::string content_type = "application/json");
  static Fault Error(int status, int code);  // {"status":false,…}, as on Applivery's page
  static Fault Success(std::string body);    // 200 with this body
  // The ordinary answer, with the first `from` in kSuccessBody replaced by `to`. kSuccessBody must contain
  // `from`.
  static Fault SuccessReplacing(std::string_view from, std::string_view to);
  static Fault Oversized(std::size_t bytes);          // a success with more than this many bytes
  static Fault RateLimited(std::string retry_after);  // 429; without Retry-After if this is empty
  static Fault Redirect(int status);           // to a path of this server; a request for it counts as stray
  static Fault EchoAuthorization(int status);  // in a header and in the body

  // Parses the KIND[:ARG] of fake-applivery --fault. Returns nothing for an unknown kind. FaultKinds() lists
  // the kinds.
  static std::optional<Fault> Parse(std::string_view text);
};

// The kinds that Fault::Parse knows, one on each line.
std::string FaultKinds();

// A POST to a tokens route whose body the server has read to its end, whether it minted a token or not.
struct Post {
  std::string organization;
  std::string application;
  std::string body;
  std::optional<std::string> description;          // if the body has the documented form
  std::optional<std::vector<std::string>> scopes;  // if the body has the documented form
  std::optional<std::size_t> api_key;              // the index of the key in the request
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
  std::size_t posts = 0;           // with a body that was read to its end
  std::size_t unread_posts = 0;    // answered or ended before the body was read
  std::size_t stray_requests = 0;  // requests that are no POST to a tokens route
  std::size_t tokens = 0;
  std::size_t connections = 0;  // accepted
  std::size_t open_connections = 0;
};

// The id of an organization or application: its name if that is 24 hex digits, otherwise a stable hash of the
// name.
std::string ObjectIdOf(std::string_view name);

enum class Transport { kTls, kPlain };
enum class ScriptEnd { kOrdinary, kRepeatLast };

struct FakeAppliveryOptions {
  std::uint16_t port = 0;  // 0: any free port
  std::vector<std::string> api_keys = {"fake-api-key"};
  Transport transport = Transport::kTls;
  std::vector<Protocol> protocols = {Protocol::kHttp2, Protocol::kHttp1};  // without TLS only HTTP/1.1
  // Without certificate files, the server makes a CA and a certificate for this subject.
  TestSubject certificate = {.hosts = {"localhost", "127.0.0.1"}};
  std::string certificate_file;
  std::string private_key_file;
  std::string ca_file;  // the file for the new CA; empty: none
  std::uint32_t max_concurrent_streams = 256;
  // The server ends a connection gracefully with the answer to this many requests, as nginx does by its
  // keepalive_requests. 0: never.
  std::size_t max_requests_per_connection = 0;
  std::chrono::milliseconds delay{0};      // before every answer without a fault
  std::size_t max_remembered = 1'000'000;  // of posts and of tokens; later ones are only counted
};

// A server on 127.0.0.1 that implements "add new token" exactly as Applivery's API page says, and makes
// faults on command. An application named "missing" does not exist. The server runs from construction to
// destruction. The constructor throws std::runtime_error if it cannot start. All functions are thread-safe,
// but only one thread at a time may call Stop, Restart, StopListening and CloseConnections.
class FakeApplivery {
 public:
  explicit FakeApplivery(FakeAppliveryOptions options = {});
  ~FakeApplivery();
  FakeApplivery(const FakeApplivery&) = delete;
  FakeApplivery& operator=(const FakeApplivery&) = delete;

  std::uint16_t port() const;
  std::string base_url() const;       // https://localhost:PORT
  const std::string& ca_pem() const;  // empty if certificate files are used

  // Gives one fault to each of the next requests for the application. Replaces the rest of an earlier script.
  void Script(const std::string& application, std::vector<Fault> faults,
              ScriptEnd end = ScriptEnd::kOrdinary);
  void SetApiKeys(std::vector<std::string> api_keys);
  void SetConnectionFault(ConnectionFault fault);  // for new connections

  // Stop() closes all connections and refuses new ones. Restart() listens on the same port again.
  void Stop();
  void Restart();
  void StopListening();  // open connections stay open
  void CloseConnections();

  Counts counts() const;
  std::vector<Post> posts() const;
  std::vector<MintedToken> tokens() const;
  // The largest number of requests that waited for the end of a delay at the same time.
  std::size_t peak_delayed() const;

  // Return false if the condition did not hold within the timeout.
  bool WaitUntil(const std::function<bool(const Counts&)>& holds, std::chrono::milliseconds timeout) const;
  bool WaitForPosts(std::size_t count, std::chrono::milliseconds timeout) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tokend::fakes
