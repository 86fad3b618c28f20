#pragma once

#include <string>
#include <utility>

#include "daemon/config/config.h"
#include "daemon/identity/authenticator.h"
#include "daemon/loop/event_loop.h"

namespace tokend::identity {

// Names the caller by the client certificate that the TLS stack has verified: its one URI SAN, which must be
// a workload's SPIFFE ID; or, without any URI SAN, "dns:" and its one DNS SAN, a host name in lower case.
// An expired certificate names nobody. Immutable.
class MtlsAuthenticator final : public Authenticator {
 public:
  // The clock must outlive this.
  MtlsAuthenticator(std::string listener, const config::MtlsAuthentication&,
                    const loop::Clock& clock = loop::SystemClock())
      : listener_(std::move(listener)), clock_(clock) {}

  void Authenticate(Evidence evidence, Done done) const override;

  bool Does(const std::string& listener, const config::MtlsAuthentication&) const {
    return listener == listener_;
  }

 private:
  const std::string listener_;
  const loop::Clock& clock_;
};

}  // namespace tokend::identity
