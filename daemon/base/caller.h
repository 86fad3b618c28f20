#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "daemon/base/passkey.h"

namespace tokend {

namespace identity {
class Authenticator;
}

enum class Authentication { kNone, kUnix, kMtls, kJwt };

inline constexpr std::array<std::string_view, 4> kAuthenticationNames = {"none", "unix", "mtls", "jwt"};

constexpr std::string_view Name(Authentication authentication) {
  return kAuthenticationNames[static_cast<std::size_t>(authentication)];
}

static_assert(Name(Authentication::kNone) == "none" && Name(Authentication::kUnix) == "unix" &&
              Name(Authentication::kMtls) == "mtls" && Name(Authentication::kJwt) == "jwt");

// The peer of a connection (Caller::peer) without its port, which says nothing about who calls.
constexpr std::string_view WithoutPort(std::string_view peer) {
  return peer.starts_with("ipv4:") || peer.starts_with("ipv6:") ? peer.substr(0, peer.rfind(':')) : peer;
}

// An authenticated caller. Only identity/ can make one. Immutable.
class Caller {
 public:
  Caller(Passkey<identity::Authenticator>, std::string name, Authentication authentication,
         std::string listener, std::string peer)
      : name_(std::move(name)),
        listener_(std::move(listener)),
        peer_(std::move(peer)),
        authentication_(authentication) {}

  const std::string& name() const { return name_; }
  Authentication authentication() const { return authentication_; }
  const std::string& listener() const { return listener_; }
  // The address of the connection: "ipv4:…", "ipv6:…" or "unix:uid=N".
  const std::string& peer() const { return peer_; }

 private:
  std::string name_;
  std::string listener_;
  std::string peer_;
  Authentication authentication_;
};

}  // namespace tokend
