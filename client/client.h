#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/base/result.h"
#include "daemon/base/secret.h"

namespace tokend::client {

struct Options {
  // "unix:///path" or "host:port". A connection to host:port uses TLS, except where the host is loopback
  // (localhost, 127.0.0.0/8, [::1]) and none of the files below is given. The files are only for TLS.
  std::string address = "unix:///run/tokend/tokend.sock";
  std::string ca_file = {};           // PEM; empty: the system's CAs
  std::string certificate_file = {};  // PEM, with private_key_file: the client's certificate, for mutual TLS
  std::string private_key_file = {};
  std::string token_file = {};  // read for each attempt, and sent as "authorization: Bearer …"
  // For a whole call: its attempts and the waits between them. From 1 ms to kMaxTimeout.
  std::chrono::milliseconds timeout = std::chrono::seconds(60);
};

inline constexpr std::chrono::hours kMaxTimeout{24};

struct CreateRequest {
  std::string application = {};
  std::string organization = {};  // empty: the only one configured
  std::string description = {};
  std::vector<std::string> scopes = {};  // empty: the grant's default scopes
  std::string request_id = {};           // empty: the client makes one
  bool validate_only = false;            // check the request, create nothing
};

struct Token {
  std::string id = {};  // with validate_only, the id and the bearer are empty
  std::string organization = {};
  std::string application = {};
  std::string description = {};
  std::vector<std::string> scopes = {};
  Bearer bearer = {};
  std::string request_id = {};
  bool replayed = false;  // an earlier attempt or call with this request_id created it
  std::uint64_t audit_sequence = 0;
};

struct Limit {
  std::string name = {};
  std::int64_t tokens = 0;  // per window
  std::chrono::nanoseconds window{0};
  std::int64_t burst = 0;
  std::int64_t remaining = 0;
  std::chrono::nanoseconds retry_after{0};  // zero while `remaining` is not
};

struct Grant {
  std::string name = {};
  std::vector<std::string> organizations = {};
  std::vector<std::string> applications = {};
  std::vector<std::string> scopes = {};
  std::vector<Limit> limits = {};
};

// Who the daemon takes this client for, and what the client may do.
struct CallerInfo {
  std::string caller = {};
  std::string authentication = {};  // "mtls", "jwt", "unix" or "none"
  std::string listener = {};
  std::vector<Grant> grants = {};  // at most 200, in the policy's order
  bool more_grants = false;        // there are more
};

// grpc.health.v1.HealthCheckResponse.ServingStatus
enum class Health { kUnknown = 0, kServing = 1, kNotServing = 2, kServiceUnknown = 3 };

// Whether a failed CreateToken may have created a token.
enum class Outcome {
  kNoToken,       // it has not
  kAskAgain,      // it may have: a later call with the same request_id gets the token, or can say more
  kLookForToken,  // it may have, and a later call cannot say: look for the token's description at Applivery
};

// What an error holds besides its code and message.
struct ErrorDetails {
  // Of the whole call, with all its attempts. Unless it is kNoToken, a new request_id could make a second
  // token.
  Outcome outcome = Outcome::kNoToken;
  std::string reason = {};      // an ErrorReason without its prefix; empty: tokend has not made the error
  std::string request_id = {};  // with this id, a later call gets the same token
  std::vector<FieldViolation> fields = {};
  std::vector<QuotaViolation> quotas = {};
  std::optional<std::chrono::nanoseconds> retry_after = {};
  std::optional<std::int64_t> upstream_code = {};
  std::optional<std::uint64_t> audit_sequence = {};
};

// The details of a status that a Client has returned. Empty for any other status.
ErrorDetails DetailsOf(const Status& status);

class Clock;

// A client of one tokend. A call blocks, and ends by the time-out. Several threads may call at the same time.
// An error has gRPC's code, the daemon's message and its details (DetailsOf).
//
// A call waits for a connection until the time-out, so it may begin before the daemon does. Without a
// connection nothing is sent: the call ends as UNAVAILABLE, and the message says so. No proxy is used.
//
// CreateToken and GetCaller make up to kMaxAttempts attempts, all with the same request_id:
//
//   code and ErrorInfo.reason                                   | next attempt
//   ------------------------------------------------------------|------------------------------------------
//   RESOURCE_EXHAUSTED: RATE_LIMITED, UPSTREAM_RATE_LIMITED     | after RetryInfo's delay: no token exists
//   UNAVAILABLE: OVERLOADED, SHUTTING_DOWN, AUDIT_UNAVAILABLE,  |
//     LIMITS_UNAVAILABLE, UPSTREAM_UNAVAILABLE                  |
//   UNAVAILABLE without details: a lost connection              | after a backoff: a token may exist, and
//                                                               | its request_id gets it
//   UNAVAILABLE: GOAWAY or REFUSED_STREAM of HTTP/2, which say  | after a backoff: no token exists
//     that the request was not processed                        |
//   any of these with a grpc-retry-pushback-ms trailer          | none: the daemon forbids it
//   any error of the daemon without RetryInfo                   | none
//   UNKNOWN, INTERNAL (OUTCOME_UNKNOWN,                         | none: a token may exist, and another
//     UPSTREAM_INVALID_RESPONSE, or gRPC's own)                 | attempt cannot say
//   DEADLINE_EXCEEDED, CANCELLED                                | none: the call's time is up. A later call
//                                                               | with the request_id gets the outcome
//   any other                                                   | none: the answer would be the same
//
// A jittered backoff (kFirstBackoff, doubled for each attempt, at most kMaxBackoff) is added to every delay.
// A delay that ends after the time-out is not waited for: the call fails at once, with the error of its last
// attempt. The error of a later attempt does not answer an earlier one: ErrorDetails::outcome is that of all.
//
// An answer that is not one is INTERNAL: the bearer is not 1 to 128 printable ASCII characters, the
// request_id is not the one that was sent, an organization or application has another id, or a scope was not
// asked for.
class Client {
 public:
  static constexpr int kMaxAttempts = 5;
  static constexpr std::chrono::milliseconds kFirstBackoff{200};
  static constexpr std::chrono::milliseconds kMaxBackoff{2000};

  // How long a call goes on: one attempt, which fails at once where nobody listens, or until the time-out.
  enum class Patience { kOnce, kUntilTimeout };

  // Checks the options and reads the files. The TLS files are not read again. The first call opens the
  // connection. INVALID_ARGUMENT says which option is wrong, and what it must be.
  static Result<Client> Connect(const Options& options);
  // The same with another clock, for the waits between attempts. It must outlive the client.
  static Result<Client> Connect(const Options& options, Clock& clock);

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  Result<Token> CreateToken(const CreateRequest& request);
  Result<CallerInfo> GetCaller();
  // With kUntilTimeout it waits and tries again as GetCaller does.
  Result<Health> CheckHealth(Patience patience = Patience::kOnce);

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace tokend::client

namespace tokend {
using client::Client;
}
