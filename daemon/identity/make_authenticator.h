#pragma once

#include <memory>

#include "daemon/config/config.h"
#include "daemon/identity/authenticator.h"

namespace tokend::identity {

// What tells who calls on this listener.
std::unique_ptr<const Authenticator> MakeAuthenticator(const config::Listener& listener);

}  // namespace tokend::identity
