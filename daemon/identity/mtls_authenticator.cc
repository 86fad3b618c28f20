#include "daemon/identity/mtls_authenticator.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "daemon/identity/spiffe_id.h"

namespace tokend::identity {
namespace {

constexpr std::size_t kMaxHostNameBytes = 253;
constexpr std::size_t kMaxLabelBytes = 63;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool IsLabel(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLabelBytes && text.front() != '-' && text.back() != '-' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

// Letters, digits and hyphens (RFC 1123): no wildcard, no escape, no trailing dot.
bool IsLowerCaseHostName(std::string_view text) {
  if (text.size() > kMaxHostNameBytes) return false;
  for (;;) {
    const std::size_t dot = text.find('.');
    if (!IsLabel(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

// DNS names compare without case and policies with it: one spelling for each name.
std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

Result<std::string> NameOf(const Evidence& evidence) {
  if (evidence.uri_sans.size() > 1) {
    return absl::UnauthenticatedError("the client certificate has several URI SANs; it must have one");
  }
  if (evidence.uri_sans.size() == 1) {
    const std::string& id = evidence.uri_sans.front();
    if (!IsWorkloadSpiffeId(id)) {
      return absl::UnauthenticatedError("the client certificate's URI SAN is not a workload's SPIFFE ID");
    }
    return id;
  }
  if (evidence.dns_sans.empty()) {
    return absl::UnauthenticatedError("no client certificate with a URI or DNS SAN was verified");
  }
  if (evidence.dns_sans.size() > 1) {
    return absl::UnauthenticatedError(
        "the client certificate has several DNS SANs and no URI SAN; it must have one");
  }
  const std::string host = LowerCase(evidence.dns_sans.front());
  if (!IsLowerCaseHostName(host)) {
    return absl::UnauthenticatedError("the client certificate's DNS SAN is not a host name");
  }
  return "dns:" + host;
}

}  // namespace

void MtlsAuthenticator::Authenticate(Evidence evidence, Done done) const {
  if (evidence.certificate_not_after && clock_.WallNow() > *evidence.certificate_not_after) {
    return done(absl::UnauthenticatedError("the client certificate has expired since the connection began"));
  }
  Result<std::string> name = NameOf(evidence);
  if (!name.ok()) return done(name.status());
  done(MakeCaller(*std::move(name), Authentication::kMtls, listener_, std::move(evidence.peer)));
}

}  // namespace tokend::identity
