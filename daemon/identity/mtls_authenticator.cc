#include "daemon/identity/mtls_authenticator.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "daemon/base/caller_name.h"
#include "daemon/base/text.h"
#include "daemon/identity/spiffe_id.h"

namespace tokend::identity {
namespace {

bool IsLabel(std::string_view text) {
  return ConsistsOf(text, 63, "-") && text.front() != '-' && text.back() != '-';
}

// Letters, digits and hyphens (RFC 1123): no wildcard, no escape, no trailing dot.
bool IsHostName(std::string_view text) {
  const std::vector<std::string_view> labels = Split(text, '.');
  return text.size() <= 253 && std::all_of(labels.begin(), labels.end(), IsLabel);
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
  // DNS names compare without case and policies with it: one spelling for each name.
  const std::string host = Lower(evidence.dns_sans.front());
  if (!IsHostName(host)) {
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
  if (!IsCallerName(*name)) {
    return done(absl::UnauthenticatedError("the client certificate's name is longer than 512 bytes"));
  }
  done(MakeCaller(*std::move(name), Authentication::kMtls, listener_, std::move(evidence.peer)));
}

}  // namespace tokend::identity
