#pragma once

#include <string>
#include <variant>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/base/token_request.h"
#include "daemon/config/config.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {

struct RequestId {
  std::string value;  // a UUID in lower case
  RequestIdOrigin origin = RequestIdOrigin::kDaemon;
};

// Makes a TokenRequest of what a caller sent, or says of each field that is wrong what would be right. The
// only way from the one to the other. Immutable; any thread.
class RequestParser {
 public:
  // With one organization configured, a request that names none means that one.
  explicit RequestParser(const std::vector<config::Organization>& organizations);

  // What the call is to be known by, well-formed or not: the caller's request_id, or a new one where that is
  // no UUID.
  static RequestId IdOf(const v1::CreateTokenRequest& message);

  std::variant<TokenRequest, Failure> Parse(const v1::CreateTokenRequest& message, const RequestId& id) const;

  // Of bytes that are no CreateTokenRequest.
  static Failure Unreadable();

 private:
  std::string default_organization_;  // empty: there is none
};

}  // namespace tokend::rpc
