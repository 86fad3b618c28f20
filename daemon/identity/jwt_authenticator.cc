#include "daemon/identity/jwt_authenticator.h"

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "daemon/base/secret.h"
#include "daemon/base/sha256.h"
#include "daemon/identity/claims.h"
#include "daemon/identity/jws.h"
#include "daemon/identity/token_cache.h"

namespace tokend::identity {
namespace {

constexpr absl::string_view kScheme = "bearer ";

// The token in the only value of the metadata: a view of it.
Result<std::string_view> TokenOf(const std::vector<Secret>& authorization) {
  if (authorization.empty()) return absl::UnauthenticatedError("no authorization metadata was sent");
  if (authorization.size() > 1) return absl::UnauthenticatedError("several authorization metadata were sent");
  const std::string_view value = authorization.front().Expose();
  if (value.size() <= kScheme.size() ||
      !absl::EqualsIgnoreCase(absl::string_view(value.data(), kScheme.size()), kScheme)) {
    return absl::UnauthenticatedError("the authorization metadata is not \"Bearer\" and a token");
  }
  return value.substr(kScheme.size());
}

}  // namespace

// Judges tokens by a set of keys, and remembers the tokens that it accepts.
class JwtAuthenticator::Judge {
 public:
  Judge(std::string listener, const config::JwtAuthentication& configuration, const loop::Clock& clock)
      : listener_(std::move(listener)), rules_(configuration), clock_(clock), cache_(kMaxCachedTokens) {}

  // Nothing where the token may need newer keys.
  std::optional<Result<Caller>> Decide(std::string_view token, const KeySource::Keys& keys,
                                       const std::string& peer) {
    const Seconds now = clock_.WallNow().time_since_epoch();
    const Sha256Digest digest = Sha256(token);
    if (keys) {
      if (auto name = cache_.Find(digest, keys->id(), now)) return CallerOf(*std::move(name), peer);
    }
    const Result<Jws> jws = ParseJws(token);
    if (!jws.ok()) return jws.status();
    const Verdict verdict = keys ? keys->Verify(*jws) : Verdict::kUnknownKey;
    if (verdict == Verdict::kUnknownKey) return std::nullopt;
    if (verdict == Verdict::kRefused) {
      return absl::UnauthenticatedError("the token's signature does not verify with a key of the issuer");
    }
    Result<ClaimRules::Accepted> accepted = rules_.Judge(jws->payload, now);
    if (!accepted.ok()) return accepted.status();
    Caller caller = CallerOf(accepted->caller, peer);
    cache_.Add(digest, keys->id(), *std::move(accepted));
    return caller;
  }

  // The same, with the newest keys that there are.
  Result<Caller> DecideFinally(std::string_view token, const KeySource::Keys& keys, const std::string& peer) {
    if (std::optional<Result<Caller>> caller = Decide(token, keys, peer)) return *std::move(caller);
    return absl::UnauthenticatedError(keys ? "the issuer's key set has no key for the token"
                                           : "the issuer's keys are not available");
  }

 private:
  Caller CallerOf(std::string name, const std::string& peer) const {
    return MakeCaller(std::move(name), Authentication::kJwt, listener_, peer);
  }

  const std::string listener_;
  const ClaimRules rules_;
  const loop::Clock& clock_;
  TokenCache cache_;
};

JwtAuthenticator::JwtAuthenticator(std::string listener, config::JwtAuthentication configuration,
                                   std::unique_ptr<KeySource> keys, const loop::Clock& clock)
    : listener_(std::move(listener)),
      configuration_(std::move(configuration)),
      judge_(std::make_shared<Judge>(listener_, configuration_, clock)),
      keys_(std::move(keys)) {}

JwtAuthenticator::~JwtAuthenticator() = default;

void JwtAuthenticator::Authenticate(Evidence evidence, Done done) const {
  const Result<std::string_view> token = TokenOf(evidence.authorization);
  if (!token.ok()) return done(token.status());
  if (auto caller = judge_->Decide(*token, keys_->Current(), evidence.peer)) return done(*std::move(caller));
  keys_->Renew([judge = judge_, evidence = std::move(evidence),
                done = std::move(done)](const KeySource::Keys& keys) mutable {
    done(judge->DecideFinally(*TokenOf(evidence.authorization), keys, evidence.peer));
  });
}

}  // namespace tokend::identity
