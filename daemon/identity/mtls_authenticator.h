#pragma once

#include <string>

#include "daemon/identity/authenticator.h"

namespace tokend::identity {

// Names the caller by the client certificate that the TLS stack has verified: its one URI SAN, which must be
// a workload's SPIFFE ID; or, without any URI SAN, "dns:" and its one DNS SAN, a host name in lower case.
class MtlsAuthenticator final : public Authenticator {
 public:
  explicit MtlsAuthenticator(std::string listener) : listener_(std::move(listener)) {}

  Result<Caller> Authenticate(const Evidence& evidence) const override;

 private:
  std::string listener_;
};

}  // namespace tokend::identity
