#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/config/caller_template.h"
#include "daemon/config/config.h"

namespace tokend::identity {

// Since the epoch.
using Seconds = std::chrono::duration<double>;

// How far an issuer's wall clock may be from this host's.
inline constexpr Seconds kLeeway{60};

// Judges the claims of a token whose signature is verified. Immutable; any thread.
class ClaimRules {
 public:
  explicit ClaimRules(const config::JwtAuthentication& configuration);

  struct Accepted {
    std::string caller;
    Seconds expires;  // the leeway is included
  };

  // UNAUTHENTICATED, in fixed words, where the token has another issuer or audience, is outside its time at
  // `now` (wall clock), or gives no valid caller name.
  Result<Accepted> Judge(std::string_view payload, Seconds now) const;

 private:
  const std::string issuer_;
  const std::string audience_;
  const std::string trust_domain_prefix_;  // "spiffe://NAME/"; empty: none
  const bool only_trust_domain_;
  const config::CallerTemplate template_;
};

}  // namespace tokend::identity
