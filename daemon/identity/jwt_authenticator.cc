#include "daemon/identity/jwt_authenticator.h"

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

  struct Decision {
    Result<Caller> caller;
    bool may_need_newer_keys = false;  // no key verifies the token: the issuer may have replaced its keys
  };

  Decision Decide(std::string_view token, const KeySource::Keys& keys, const std::string& peer) {
    const Seconds now = clock_.WallNow().time_since_epoch();
    const Sha256Digest digest = Sha256(token);
    if (keys) {
      if (auto name = cache_.Find(digest, keys->id(), now)) return {CallerOf(*std::move(name), peer)};
    }
    const Result<Jws> jws = ParseJws(token);
    if (!jws.ok()) return {jws.status()};
    if (Status verified = Verify(*jws, keys); !verified.ok()) return {std::move(verified), true};
    Result<ClaimRules::Accepted> accepted = rules_.Judge(jws->payload, now);
    if (!accepted.ok()) return {accepted.status()};
    Caller caller = CallerOf(accepted->caller, peer);
    cache_.Add(digest, keys->id(), *std::move(accepted));
    return {std::move(caller)};
  }

 private:
  static Status Verify(const Jws& jws, const KeySource::Keys& keys) {
    if (!keys) return absl::UnauthenticatedError("the issuer's keys are not available");
    switch (keys->Verify(jws)) {
      case Verdict::kVerified:
        return absl::OkStatus();
      case Verdict::kUnknownKey:
        return absl::UnauthenticatedError("the issuer's key set has no key for the token");
      case Verdict::kRefused:
        break;
    }
    return absl::UnauthenticatedError("the token's signature does not verify with a key of the issuer");
  }

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
  const KeySource::Keys tried = keys_->Current();
  Judge::Decision decision = judge_->Decide(*token, tried, evidence.peer);
  if (!decision.may_need_newer_keys) return done(std::move(decision.caller));
  keys_->Renew([judge = judge_, evidence = std::move(evidence), done = std::move(done), tried,
                first = std::move(decision.caller)](const KeySource::Keys& keys) mutable {
    if (keys == tried) return done(std::move(first));
    done(judge->Decide(*TokenOf(evidence.authorization), keys, evidence.peer).caller);
  });
}

}  // namespace tokend::identity
