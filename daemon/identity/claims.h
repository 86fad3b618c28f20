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

// How far the clocks of issuers may be from this one.
inline constexpr Seconds kLeeway{60};

// Judges what a token says once its signature is verified. Immutable; any thread.
class ClaimRules {
 public:
  explicit ClaimRules(const config::JwtAuthentication& configuration);

  struct Accepted {
    std::string caller;
    Seconds expires;  // the leeway is included
  };

  // UNAUTHENTICATED with fixed words where the claims are not this issuer's for this audience, now, or give
  // no name that a caller may have.
  Result<Accepted> Judge(std::string_view payload, Seconds now) const;

 private:
  const std::string issuer_;
  const std::string audience_;
  const std::string trust_domain_prefix_;  // "spiffe://NAME/"; empty: none
  const config::CallerTemplate template_;
};

}  // namespace tokend::identity
