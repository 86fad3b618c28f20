#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace tokend::config {

struct BaseUrl {
  bool https = true;
  TcpAddress host = {};  // port 0: the scheme's
  std::string text;      // without a slash at its end
};

// "http(s)://host[:port][/path]". INVALID_ARGUMENT says what is wrong: user info, a query, a fragment, and in
// the path anything but unreserved characters, empty segments and dots alone included.
Result<BaseUrl> ParseBaseUrl(std::string_view text);

}  // namespace tokend::config
