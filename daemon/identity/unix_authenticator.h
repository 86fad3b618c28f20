#pragma once

#include <sys/types.h>

#include <string>
#include <unordered_map>

#include "daemon/config/config.h"
#include "daemon/identity/authenticator.h"

namespace tokend::identity {

// Names the caller by the uid of the process that connected, which the kernel tells. Immutable.
class UnixAuthenticator final : public Authenticator {
 public:
  UnixAuthenticator(std::string listener, config::UnixAuthentication configuration);

  void Authenticate(Evidence evidence, Done done) const override;

  bool Does(const std::string& listener, const config::UnixAuthentication& configuration) const {
    return listener == listener_ && configuration == configuration_;
  }

 private:
  const std::string listener_;
  const config::UnixAuthentication configuration_;
  std::unordered_map<uid_t, std::string> names_;
};

}  // namespace tokend::identity
