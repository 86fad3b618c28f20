#include "daemon/identity/unix_authenticator.h"

#include <utility>

namespace tokend::identity {

UnixAuthenticator::UnixAuthenticator(std::string listener, config::UnixAuthentication configuration)
    : listener_(std::move(listener)), configuration_(std::move(configuration)) {
  for (const config::UnixCaller& caller : configuration_.callers) names_.emplace(caller.uid, caller.name);
}

void UnixAuthenticator::Authenticate(Evidence evidence, Done done) const {
  if (!evidence.unix_uid) return done(absl::UnauthenticatedError("the kernel does not name the peer's user"));
  const auto caller = names_.find(*evidence.unix_uid);
  if (caller == names_.end()) return done(absl::UnauthenticatedError("the peer's uid is not listed"));
  done(MakeCaller(caller->second, Authentication::kUnix, listener_, std::move(evidence.peer)));
}

}  // namespace tokend::identity
