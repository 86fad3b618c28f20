#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/caller.h"
#include "daemon/base/passkey.h"
#include "daemon/base/result.h"
#include "daemon/base/secret.h"

namespace tokend::identity {

// No answer of an authenticator takes longer, by the steady clock.
inline constexpr std::chrono::seconds kLongestWait{5};

// Why a token is refused that was good until its time of expiry. This is the only reason that its caller is
// told (rpc/status.cc).
inline constexpr char kTokenExpired[] = "the token has expired";

// The facts about a caller that its connection and metadata give.
struct Evidence {
  std::string peer;                        // "ipv4:…", "ipv6:…" or "unix:uid=N"
  std::optional<uid_t> unix_uid = {};      // of a unix peer, from the kernel
  std::vector<std::string> uri_sans = {};  // of a client certificate that the TLS stack verified
  std::vector<std::string> dns_sans = {};
  std::optional<std::chrono::system_clock::time_point> certificate_not_after = {};  // of that certificate
  std::vector<Secret> authorization = {};  // the values of the "authorization" metadata, as sent
};

// Tells who calls on one listener. Fails closed: evidence that does not clearly name one caller is
// UNAUTHENTICATED, with the daemon's own words for the audit record. Any thread.
class Authenticator {
 public:
  using Done = absl::AnyInvocable<void(Result<Caller>)>;

  virtual ~Authenticator() = default;

  // Calls `done` exactly once: before it returns, or, where keys must first be fetched, on the loop thread
  // within kLongestWait. `done` must not block. This may be destroyed meanwhile: the calls that wait are
  // answered then.
  virtual void Authenticate(Evidence evidence, Done done) const = 0;

  // Whether the connection alone tells who calls: the caller is then the same for each of its calls.
  virtual bool IsByConnection() const { return true; }

 protected:
  // The one way to a Caller.
  static Caller MakeCaller(std::string name, Authentication authentication, std::string listener,
                           std::string peer) {
    return Caller(Passkey<Authenticator>(), std::move(name), authentication, std::move(listener),
                  std::move(peer));
  }
};

}  // namespace tokend::identity
