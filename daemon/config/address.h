#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace tokend::config {

// A listener's socket is created under this name in its folder, and then renamed.
inline constexpr std::string_view kNewSocketName = ".tokend.new";

// "unix:///absolute/path" or "host:port", the host a name, an IPv4 address or an IPv6 one in brackets.
// INVALID_ARGUMENT says why it is none.
Result<Address> ParseAddress(std::string_view text);

// Whether this is the name of a host, an IPv4 address or an IPv6 address without brackets.
bool IsHost(std::string_view text);

struct BaseUrl {
  bool https = true;
  TcpAddress host = {};  // port 0: the default of the scheme
  std::string text;      // without a slash at its end
};

// "http(s)://host[:port][/path]". INVALID_ARGUMENT, and why, for user info, a query, a fragment, and a path
// with other than unreserved characters, with an empty segment or with a segment of dots.
Result<BaseUrl> ParseBaseUrl(std::string_view text);

// An HTTP proxy: "http://host:port". INVALID_ARGUMENT says why the text is no such address.
Result<TcpAddress> ParseProxy(std::string_view text);

// 127.0.0.0/8, ::1 or localhost: data that is sent there does not leave the machine.
bool IsLoopback(const TcpAddress& address);

// A unix socket, or loopback.
bool IsLocal(const Address& address);

}  // namespace tokend::config
