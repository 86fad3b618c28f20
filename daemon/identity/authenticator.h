#pragma once

#include <string>
#include <vector>

#include "daemon/base/caller.h"
#include "daemon/base/passkey.h"
#include "daemon/base/result.h"

namespace tokend::identity {

// What the transport says of who is calling.
struct Evidence {
  std::string peer;                   // "ipv4:…", "ipv6:…" or "unix:uid=N"
  std::vector<std::string> uri_sans;  // of a client certificate that the TLS stack verified
  std::vector<std::string> dns_sans;
};

// Tells who calls on one listener. Fails closed: what is not clearly one caller is UNAUTHENTICATED, with the
// daemon's own words for the audit record. Immutable; any thread.
class Authenticator {
 public:
  virtual ~Authenticator() = default;
  virtual Result<Caller> Authenticate(const Evidence& evidence) const = 0;

 protected:
  // The one way to a Caller.
  static Caller MakeCaller(std::string name, Authentication authentication, std::string listener,
                           std::string peer) {
    return Caller(Passkey<Authenticator>(), std::move(name), authentication, std::move(listener),
                  std::move(peer));
  }
};

}  // namespace tokend::identity
