#pragma once

#include <memory>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/identity/authenticator.h"
#include "daemon/identity/url_key_source.h"
#include "daemon/loop/curl_loop.h"

namespace tokend::identity {

// How keys behind a URL are fetched.
struct KeyFetching {
  loop::CurlLoop* loop = nullptr;  // outlives the authenticators; null: no listener may need it
  FetchObserver observer = {};
};

// Makes the authenticator that the listener's configuration asks for. Reads the file of keys that it names,
// and fails, naming the file, where that cannot be used. Answers `previous` itself, which may be null, where
// that already does what the listener asks for: its cached tokens then stay.
Result<std::shared_ptr<const Authenticator>> MakeAuthenticator(const config::Listener& listener,
                                                               std::shared_ptr<const Authenticator> previous,
                                                               KeyFetching fetching = {});

}  // namespace tokend::identity
