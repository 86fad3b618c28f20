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
  // "unix:///path" or "host:port". host:port is TLS, but plaintext where the host is loopback (localhost,
  // 127.0.0.0/8, [::1]) and none of the files below is given. The files are for TLS alone.
  std::string address = "unix:///run/tokend/tokend.sock";
  std::string ca_file = {};           // PEM; empty: the system's CAs
  std::string certificate_file = {};  // PEM, with private_key_file: the client's own, for mutual TLS
  std::string private_key_file = {};
  std::string token_file = {};  // read anew for each attempt, sent as "authorization: Bearer …"
  // Of a whole call: every attempt and every wait between them. From 1 ms to kMaxTimeout.
  std::chrono::milliseconds timeout = std::chrono::seconds(60);
};

inline constexpr std::chrono::hours kMaxTimeout{24};

struct CreateRequest {
  std::string application = {};
  std::string organization = {};  // empty: the only one configured
  std::string description = {};
  std::vector<std::string> scopes = {};  // empty: the grant's default scopes
  std::string request_id = {};           // empty: the client makes one
  bool validate_only = false;            // decide everything, create nothing
};

struct Token {
  std::string id = {};  // empty with validate_only, and so is the bearer
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
  std::chrono::nanoseconds retry_after{0};  // zero while something remains
};

struct Grant {
  std::string name = {};
  std::vector<std::string> organizations = {};
  std::vector<std::string> applications = {};
  std::vector<std::string> scopes = {};
  std::vector<Limit> limits = {};
};

// Who the daemon takes this client for, and what it may.
struct CallerInfo {
  std::string caller = {};
  std::string authentication = {};  // "mtls", "jwt", "unix" or "none"
  std::string listener = {};
  std::vector<Grant> grants = {};
};

// grpc.health.v1.HealthCheckResponse.ServingStatus
enum class Health { kUnknown = 0, kServing = 1, kNotServing = 2, kServiceUnknown = 3 };

// What an error says beside its code and message.
struct ErrorDetails {
  std::string reason = {};  // an ErrorReason without its prefix; empty where the error is not tokend's own
  std::string request_id = {};  // to ask again for the same token
  std::vector<FieldViolation> fields = {};
  std::vector<QuotaViolation> quotas = {};
  std::optional<std::chrono::nanoseconds> retry_after = {};
  std::optional<std::int64_t> upstream_code = {};
  std::optional<std::uint64_t> audit_sequence = {};
};

// Of a status that a Client returned; empty for any other.
ErrorDetails DetailsOf(const Status& status);

class Clock;

// A client of one tokend. Every call blocks, has ended by the time-out, and may be made from any thread at
// the same time as others. Errors carry gRPC's code, the daemon's message and DetailsOf.
//
// CreateToken and GetCaller are tried up to kMaxAttempts times, all with the same request_id, as follows:
//
//   code and ErrorInfo.reason                                   | tried again
//   ------------------------------------------------------------|------------------------------------------
//   RESOURCE_EXHAUSTED: RATE_LIMITED, UPSTREAM_RATE_LIMITED     | after RetryInfo's delay: no token was made
//   UNAVAILABLE: OVERLOADED, SHUTTING_DOWN, AUDIT_UNAVAILABLE,  |
//     LIMITS_UNAVAILABLE, UPSTREAM_UNAVAILABLE                  |
//   UNAVAILABLE without details: no connection, or a lost one   | after a backoff: a token may have been
//                                                               | made, and its request_id gets it
//   any of these with a grpc-retry-pushback-ms trailer          | no: the daemon forbids it
//   any of the daemon's without RetryInfo                       | no
//   UNKNOWN, INTERNAL (OUTCOME_UNKNOWN,                         | no: a token may exist, and asking again
//     UPSTREAM_INVALID_RESPONSE, or gRPC's own)                 | cannot tell
//   DEADLINE_EXCEEDED, CANCELLED                                | no: the call's time is up. The same
//                                                               | request_id gets the outcome later
//   every other                                                 | no: the answer would be the same
//
// A jittered backoff (kFirstBackoff, doubling, at most kMaxBackoff) is added to every delay. Where the delay
// does not end before the time-out the call fails at once, with the error that asked for it.
class Client {
 public:
  static constexpr int kMaxAttempts = 5;
  static constexpr std::chrono::milliseconds kFirstBackoff{200};
  static constexpr std::chrono::milliseconds kMaxBackoff{2000};

  // Judges the options and reads the files; the first call opens the connection. The TLS files are read
  // here only. INVALID_ARGUMENT says which option is wrong and how.
  static Result<Client> Connect(const Options& options);
  // The same with another's time between attempts. `clock` outlives the client.
  static Result<Client> Connect(const Options& options, Clock& clock);

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  Result<Token> CreateToken(const CreateRequest& request);
  Result<CallerInfo> GetCaller();
  // One attempt.
  Result<Health> CheckHealth();

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace tokend::client

namespace tokend {
using client::Client;
}
