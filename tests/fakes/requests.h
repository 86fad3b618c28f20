#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/base/caller.h"
#include "daemon/base/token_request.h"

// Makes callers and requests for tests. Only authentication can make a Caller and only parsing a
// TokenRequest, so these functions use both.
namespace tokend::fakes {

Caller CallerNamed(const std::string& name, const std::string& listener = "test");

struct Request {
  std::string organization = "acme";
  std::string application = "ios-app";
  std::string description = {};
  std::vector<std::string> scopes = {};
  std::string request_id = {};
  bool validate_only = false;
  std::string trace = {};
  std::string traceparent = {};
  std::optional<Relayed> relayed = {};
};

// Parses the request. Aborts if it is not well-formed.
TokenRequest RequestFor(const Request& request, const std::string& default_organization = "");

}  // namespace tokend::fakes
