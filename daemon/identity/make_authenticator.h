#pragma once

#include <memory>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/identity/authenticator.h"

namespace tokend::identity {

// What tells who calls on this listener. Reads the key set that the configuration names, and fails, naming
// the file, where that cannot be used. Answers `previous` itself, which may be null, where it already does
// what this listener asks for: what it has cached then lives on.
Result<std::shared_ptr<const Authenticator>> MakeAuthenticator(const config::Listener& listener,
                                                               std::shared_ptr<const Authenticator> previous);

}  // namespace tokend::identity
