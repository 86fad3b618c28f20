#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/passkey.h"

namespace tokend {

namespace rpc {
class RequestParser;
}

enum class RequestIdOrigin { kCaller, kDaemon };

// What a relay says of its own caller's call. tokend records it. It decides only about request_ids of this
// relay.
struct Relayed {
  std::string on_behalf_of;  // the name of the relay's caller
  std::string digest = {};   // the digest of that caller's request; empty: not given
  // The time since the relay first recorded an intent for the request_id; 0 the first time. Nothing: not
  // given.
  std::optional<std::chrono::seconds> age = {};
  // How long that caller still waits. Nothing: not given.
  std::optional<std::chrono::milliseconds> caller_timeout = {};
};

// A caller's request for a token. Only RequestParser can make one, so it is well-formed (base/form.h).
// Immutable.
class TokenRequest {
 public:
  struct Fields {
    std::string sent_organization;  // as the caller sent it: it may be empty
    std::string organization;  // with the default filled in; empty if none is given and there is no default
    std::string application;
    std::string description;
    std::vector<std::string> scopes;  // sorted, without duplicates; empty: use the grant's default_scopes
    std::string request_id;           // a UUID in lower case
    RequestIdOrigin request_id_origin = RequestIdOrigin::kDaemon;
    bool validate_only = false;
    std::string trace;        // 32 hex digits, or empty
    std::string traceparent;  // the header as the caller sent it; empty: none, or not valid
    std::optional<Relayed> relayed = {};
  };

  TokenRequest(Passkey<rpc::RequestParser>, Fields fields) : fields_(std::move(fields)) {}

  const std::string& sent_organization() const { return fields_.sent_organization; }
  const std::string& organization() const { return fields_.organization; }
  const std::string& application() const { return fields_.application; }
  const std::string& description() const { return fields_.description; }
  const std::vector<std::string>& scopes() const { return fields_.scopes; }
  const std::string& request_id() const { return fields_.request_id; }
  RequestIdOrigin request_id_origin() const { return fields_.request_id_origin; }
  bool validate_only() const { return fields_.validate_only; }
  // The trace to which the caller's call belongs. It decides nothing.
  const std::string& trace() const { return fields_.trace; }
  // The whole header. A relay sends it on to the central tokend.
  const std::string& traceparent() const { return fields_.traceparent; }
  // Nothing: the caller is no relay.
  const std::optional<Relayed>& relayed() const { return fields_.relayed; }

 private:
  Fields fields_;
};

}  // namespace tokend
