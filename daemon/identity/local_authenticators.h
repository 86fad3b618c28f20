#pragma once

#include <algorithm>
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

// Names the caller by the uid of the process that connected, which the kernel tells. Immutable.
class UnixAuthenticator final : public Authenticator {
 public:
  UnixAuthenticator(std::string listener, config::UnixAuthentication configuration)
      : listener_(std::move(listener)), configuration_(std::move(configuration)) {}

  void Authenticate(Evidence evidence, Done done) const override {
    if (!evidence.unix_uid) {
      return done(absl::UnauthenticatedError("the kernel does not name the peer's user"));
    }
    const auto& callers = configuration_.callers;
    const auto caller = std::find_if(callers.begin(), callers.end(), [&](const config::UnixCaller& listed) {
      return listed.uid == evidence.unix_uid;
    });
    if (caller == callers.end()) return done(absl::UnauthenticatedError("the peer's uid is not listed"));
    done(MakeCaller(caller->name, Authentication::kUnix, listener_, std::move(evidence.peer)));
  }

  bool Does(const std::string& listener, const config::UnixAuthentication& configuration) const {
    return listener == listener_ && configuration == configuration_;
  }

 private:
  const std::string listener_;
  const config::UnixAuthentication configuration_;
};

}  // namespace tokend::identity
