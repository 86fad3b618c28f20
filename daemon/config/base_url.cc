#include "daemon/config/base_url.h"

#include <algorithm>

#include "daemon/config/address.h"
#include "daemon/config/text.h"

namespace tokend::config {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

Status Wrong(const std::string& why) { return absl::InvalidArgumentError(why); }

bool IsSegment(std::string_view segment) {
  return segment != "." && segment != ".." && ConsistsOf(segment, segment.size(), "-._~");
}

}  // namespace

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

}  // namespace tokend::config
