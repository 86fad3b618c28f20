#pragma once

#include <memory>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/identity/authenticator.h"
#include "daemon/identity/url_key_source.h"

namespace tokend::identity {

// What tells who calls on this listener. Reads the key set that the configuration names, and fails, naming
// the file, where that cannot be used. Answers `previous` itself, which may be null, where it already does
// what this listener asks for: what it has cached then lives on.
// The observer is told of each fetch of keys, where they come from a URL.
Result<std::shared_ptr<const Authenticator>> MakeAuthenticator(const config::Listener& listener,
                                                               std::shared_ptr<const Authenticator> previous,
                                                               FetchObserver observer = {});

}  // namespace tokend::identity
