#pragma once

#include <string>
#include <variant>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/base/token_request.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {

struct RequestId {
  std::string value;  // a UUID in lower case
  RequestIdOrigin origin = RequestIdOrigin::kDaemon;
};

// Makes a TokenRequest of what a caller sent, or says of each field that is wrong what would be right. The
// only way from the one to the other. Any thread.
class RequestParser {
 public:
  // What the call is to be known by, well-formed or not: the caller's request_id, or a new one where that is
  // no UUID.
  static RequestId IdOf(const v1::CreateTokenRequest& message);

  // A request that names no organization means the default one; empty: there is none.
  static std::variant<TokenRequest, Failure> Parse(const v1::CreateTokenRequest& message, const RequestId& id,
                                                   const std::string& default_organization);

  // Of bytes that are no CreateTokenRequest.
  static Failure Unreadable();
};

}  // namespace tokend::rpc
