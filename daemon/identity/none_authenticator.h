#pragma once

#include <string>
#include <utility>

#include "daemon/config/config.h"
#include "daemon/identity/authenticator.h"

namespace tokend::identity {

// Names the configured caller, for every call. Immutable.
class NoneAuthenticator final : public Authenticator {
 public:
  NoneAuthenticator(std::string listener, config::NoAuthentication configuration)
      : listener_(std::move(listener)), configuration_(std::move(configuration)) {}

  void Authenticate(Evidence evidence, Done done) const override {
    done(MakeCaller(configuration_.caller, Authentication::kNone, listener_, std::move(evidence.peer)));
  }

  bool Does(const std::string& listener, const config::NoAuthentication& configuration) const {
    return listener == listener_ && configuration == configuration_;
  }

 private:
  const std::string listener_;
  const config::NoAuthentication configuration_;
};

}  // namespace tokend::identity
