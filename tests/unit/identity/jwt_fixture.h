#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/identity/jwt_authenticator.h"
#include "tests/fakes/test_tokens.h"

// An issuer of tokens, and the authenticator that trusts it, at a time that stands still.
namespace tokend::identity {

inline constexpr long long kNow = 1'800'000'000;
inline constexpr char kIssuer[] = "https://issuer.example";
inline constexpr char kAudience[] = "tokend";

class StandingClock final : public loop::Clock {
 public:
  explicit StandingClock(double now = static_cast<double>(kNow)) : now_(now) {}

  std::chrono::steady_clock::time_point Now() const override { return {}; }
  std::chrono::system_clock::time_point WallNow() const override {
    return std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::duration<double>(now_)));
  }
  void Set(double now) { now_ = now; }

 private:
  double now_;
};

// Claims that are right at kNow, with `members` before the closing brace, such as R"(,"nbf":1)".
inline std::string Claims(const std::string& members = "", const std::string& subject = "ci:builder") {
  return R"({"iss":")" + std::string(kIssuer) + R"(","aud":")" + kAudience + R"(","sub":")" + subject +
         R"(","exp":)" + std::to_string(kNow + 600) + members + "}";
}

inline std::string Header(std::string_view algorithm, const std::string& members = "") {
  return R"({"alg":")" + std::string(algorithm) + "\"" + members + "}";
}

// Keys that are made once a process, when first asked for.
inline const fakes::TokenKey& RsaKey() {
  static const fakes::TokenKey key = fakes::TokenKey::Rsa(2048);
  return key;
}
inline const fakes::TokenKey& EcKey() {
  static const fakes::TokenKey key = fakes::TokenKey::Ec("P-256");
  return key;
}

inline config::JwtAuthentication Trusting() {
  config::JwtAuthentication jwt;
  jwt.issuer = kIssuer;
  jwt.audience = kAudience;
  jwt.caller_template = "{sub}";
  return jwt;
}

inline Evidence With(std::vector<std::string> authorization) {
  Evidence evidence{.peer = "ipv4:10.0.0.1:4711"};
  for (const std::string& value : authorization) evidence.authorization.emplace_back(value);
  return evidence;
}

// The answer of an authenticator that gives it at once.
inline Result<Caller> Ask(const Authenticator& authenticator, Evidence evidence) {
  std::optional<Result<Caller>> answer;
  authenticator.Authenticate(std::move(evidence),
                             [&answer](Result<Caller> caller) { answer = std::move(caller); });
  return answer.value();
}

inline Result<Caller> AskWith(const Authenticator& authenticator, const std::string& token) {
  return Ask(authenticator, With({"Bearer " + token}));
}

// Trusts this key set; the clock stands at kNow unless the test sets it.
class Trust {
 public:
  explicit Trust(const std::string& key_set, config::JwtAuthentication jwt = Trusting())
      : authenticator_("tokens", std::move(jwt),
                       std::make_unique<FixedKeySource>(KeySet::Parse(key_set).value()), clock_) {}

  Result<Caller> Judge(const std::string& token) const { return AskWith(authenticator_, token); }

  // "" for a caller; what was wrong otherwise, and "not UNAUTHENTICATED" for any other error.
  std::string WhatIsWrong(const std::string& token) const {
    const Result<Caller> caller = Judge(token);
    if (caller.ok()) return "";
    if (caller.status().code() != absl::StatusCode::kUnauthenticated) return "not UNAUTHENTICATED";
    return std::string(caller.status().message());
  }

  StandingClock& clock() { return clock_; }
  const JwtAuthenticator& authenticator() const { return authenticator_; }

 private:
  StandingClock clock_;
  JwtAuthenticator authenticator_;
};

}  // namespace tokend::identity
