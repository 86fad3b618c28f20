#include "daemon/config/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>

#include "daemon/base/tcp_listener.h"
#include "daemon/base/text.h"
#include "daemon/config/units.h"

namespace tokend::config {
namespace {

constexpr std::string_view kUnixScheme = "unix://";
constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

Status Wrong(const std::string& why) { return absl::InvalidArgumentError(why); }

bool IsIpv4(const std::string& host, in_addr& address) {
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}
bool IsIpv6(const std::string& host, in6_addr& address) {
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool IsLabel(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_'; });
}

// A last label must not begin with a digit: resolvers read "127.1" and "0x7f.1" as IPv4 addresses.
bool IsHostName(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  const std::vector<std::string_view> labels = Split(host, '.');
  return std::all_of(labels.begin(), labels.end(), IsLabel) && !IsDigit(labels.back().front());
}

Result<Address> ParseUnixAddress(std::string_view path) {
  if (path.size() < 2 || path.front() != '/' || path.back() == '/') {
    return Wrong("a unix socket is written unix:///absolute/path");
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Wrong(Concat({"the path of a unix socket has at most ",
                         std::to_string(sizeof(sockaddr_un::sun_path) - 1), " bytes"}));
  }
  return UnixAddress{std::string(path)};
}

Result<std::string> ParseHost(std::string_view text) {
  in_addr ipv4{};
  in6_addr ipv6{};
  if (text.starts_with('[') && text.ends_with(']')) {
    std::string host(text.substr(1, text.size() - 2));
    if (!IsIpv6(host, ipv6)) return Wrong("the host in brackets must be an IPv6 address");
    return host;
  }
  std::string host(text);
  if (IsIpv6(host, ipv6) || Contains(text, ':')) {
    return Wrong("an IPv6 address stands in brackets: [::1]:8443");
  }
  if (!IsIpv4(host, ipv4) && !IsHostName(text)) return Wrong("the host must be a name or an IP address");
  return host;
}

// "host" or "host:port" as in a URL; without a port it is 0.
Result<TcpAddress> ParseAuthority(std::string_view text) {
  // The port is what follows the last colon, but within brackets a colon is the address's.
  const std::size_t colon = text.rfind(':');
  const bool has_port = colon != std::string_view::npos && !text.ends_with(']');
  TcpAddress address;
  if (has_port) {
    const auto port = ParseNumber(text.substr(colon + 1));
    if (!port || *port > 65535) return Wrong("the port must be a number from 0 to 65535");
    address.port = static_cast<std::uint16_t>(*port);
  }
  Result<std::string> host = ParseHost(has_port ? text.substr(0, colon) : text);
  if (!host.ok()) return host.status();
  address.host = *std::move(host);
  return address;
}

bool IsSegment(std::string_view segment) {
  return segment != "." && segment != ".." && ConsistsOf(segment, segment.size(), "-._~");
}

}  // namespace

bool IsHost(std::string_view text) {
  const std::string host(text);
  in_addr ipv4{};
  in6_addr ipv6{};
  return IsIpv4(host, ipv4) || IsIpv6(host, ipv6) || IsHostName(text);
}

std::string ToString(const Address& address) {
  if (const auto* unix_address = std::get_if<UnixAddress>(&address)) {
    return Concat({kUnixScheme, unix_address->path});
  }
  const auto& tcp = std::get<TcpAddress>(address);
  return HostAndPort(tcp.host, tcp.port);
}

Result<Address> ParseAddress(std::string_view text) {
  if (text.starts_with(kUnixScheme)) return ParseUnixAddress(text.substr(kUnixScheme.size()));
  if (text.starts_with("unix:")) return Wrong("a unix socket is written unix:///absolute/path");
  if (Contains(text, '/')) return Wrong("must be host:port or unix:///absolute/path");
  if (!Contains(text, ':') || text.ends_with(']')) return Wrong("has no port: write host:port");
  Result<TcpAddress> address = ParseAuthority(text);
  if (!address.ok()) return address.status();
  return Address(*std::move(address));
}

Result<BaseUrl> ParseBaseUrl(std::string_view text) {
  while (text.ends_with('/')) text.remove_suffix(1);
  BaseUrl url{.text = std::string(text)};
  url.https = !text.starts_with(kHttp);
  if (url.https && !text.starts_with(kHttps)) return Wrong("must begin with https://");
  text.remove_prefix(url.https ? kHttps.size() : kHttp.size());
  if (Contains(text, '@')) return Wrong("must not hold a user or a password");
  if (Contains(text, '?')) return Wrong("must not have a query");
  if (Contains(text, '#')) return Wrong("must not have a fragment");

  const std::vector<std::string_view> segments = Split(text, '/');
  Result<TcpAddress> host = ParseAuthority(segments.front());
  if (!host.ok()) return host.status();
  url.host = *std::move(host);
  if (!std::all_of(segments.begin() + 1, segments.end(), IsSegment)) {
    return Wrong("the path may hold [A-Za-z0-9._~-] between single slashes, and no segment of dots");
  }
  return url;
}

Result<TcpAddress> ParseProxy(std::string_view text) {
  if (text.starts_with(kHttps)) return Wrong("must begin with http://: tokend speaks no TLS with a proxy");
  if (!text.starts_with(kHttp)) return Wrong("is written http://host:port");
  text.remove_prefix(kHttp.size());
  if (Contains(text, '@')) return Wrong("must not hold a user or a password");
  if (Contains(text, '/') || Contains(text, '?') || Contains(text, '#')) {
    return Wrong("must end with the port: http://host:port");
  }
  Result<TcpAddress> address = ParseAuthority(text);
  if (address.ok() && address->port == 0) return Wrong("has no port: write http://host:port");
  return address;
}

bool IsLoopback(const TcpAddress& address) {
  if (address.host == "localhost") return true;
  in_addr ipv4{};
  if (IsIpv4(address.host, ipv4)) return ntohl(ipv4.s_addr) >> 24U == 127;
  in6_addr ipv6{};
  return IsIpv6(address.host, ipv6) && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

bool IsLocal(const Address& address) {
  const auto* tcp = std::get_if<TcpAddress>(&address);
  return tcp == nullptr || IsLoopback(*tcp);
}

}  // namespace tokend::config
