#pragma once

#include <optional>
#include <string>
#include <variant>

#include "daemon/base/failure.h"
#include "daemon/base/token_request.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {

struct RequestId {
  std::string value;  // a UUID in lower case
  RequestIdOrigin origin = RequestIdOrigin::kDaemon;
};

// The part of a call's metadata that belongs to its request.
struct RequestMetadata {
  std::string trace = {};        // 32 hex digits, or empty
  std::string traceparent = {};  // the header with `trace` in it, or empty
  std::optional<Relayed> relayed = {};
};

// Turns a CreateTokenRequest into a TokenRequest, or into a failure that tells for each invalid field what it
// must be. Only this class can make a TokenRequest. Any thread.
class RequestParser {
 public:
  // The id of the call in records: the caller's request_id, or a new one if that is not a UUID.
  static RequestId IdOf(const v1::CreateTokenRequest& message);

  // A request that names no organization gets the default one. Where `default_organization` is empty too,
  // that alone is no failure here: the request may be a retry of one that had a default.
  static std::variant<TokenRequest, Failure> Parse(const v1::CreateTokenRequest& message, const RequestId& id,
                                                   const std::string& default_organization,
                                                   const RequestMetadata& metadata = {});

  // The failure of a call whose message is not a CreateTokenRequest.
  static Failure Unreadable();
};

}  // namespace tokend::rpc
