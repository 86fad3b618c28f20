#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace tokend::config {

struct BaseUrl {
  bool https = true;
  TcpAddress host = {};  // port 0: the default of the scheme
  std::string text;      // without a slash at its end
};

// "http(s)://host[:port][/path]". INVALID_ARGUMENT, and why, for user info, a query, a fragment, and a path
// with other than unreserved characters, with an empty segment or with a segment of dots.
Result<BaseUrl> ParseBaseUrl(std::string_view text);

}  // namespace tokend::config
