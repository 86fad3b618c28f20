#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/caller_name.h"
#include "daemon/identity/claims.h"
#include "daemon/identity/jwt_authenticator.h"
#include "daemon/identity/spiffe_id.h"
#include "tests/fakes/test_tokens.h"
#include "tests/fuzz/check.h"

namespace tokend::identity {
namespace {

// The public half of the key that signed the only valid token of the corpus. The private half was deleted.
constexpr char kKeySet[] =
    R"({"keys":[{"kty":"EC","crv":"P-256","kid":"fuzz","use":"sig","alg":"ES256",)"
    R"("x":"HeDayTac9SgAvrt5cp0M6ua--4SyDfEA8CrhakWx7Jg","y":"a3QiLxhdt6QUR0dlk9Bl_E6W2NxQeeDe3IXJ36IdJlE"}]})";

config::JwtAuthentication Configuration() {
  config::JwtAuthentication jwt;
  jwt.issuer = "https://issuer.example";
  jwt.audience = "tokend";
  jwt.trust_domain = "prod.example";
  return jwt;
}

void CheckName(const std::string& name) {
  fuzz::Check(IsCallerName(name) && name.find('*') == std::string::npos);
  if (ReservedPrefixOf(name).empty()) return;
  fuzz::Check(name.starts_with("spiffe://prod.example/") && IsWorkloadSpiffeId(name));
}

void Authenticate(std::string_view authorization) {
  static const JwtAuthenticator authenticator(
      "fuzz", Configuration(), std::make_unique<FixedKeySource>(KeySet::Parse(kKeySet).value()),
      loop::SystemClock());
  Evidence evidence{.peer = "unknown"};
  evidence.authorization.emplace_back(authorization);
  std::optional<Result<Caller>> answer;
  authenticator.Authenticate(std::move(evidence),
                             [&answer](Result<Caller> caller) { answer = std::move(caller); });
  fuzz::Check(answer.has_value());
  if (answer->ok()) {
    // Without the private key, nobody can make another valid token.
    fuzz::Check((*answer)->name() == "ci:builder");
  } else {
    fuzz::Check(answer->status().code() == absl::StatusCode::kUnauthenticated);
  }
}

void Fuzz(std::string_view input) {
  Authenticate(input);
  Authenticate("Bearer " + std::string(input));

  // The first line is a header and the rest are claims, both not encoded, because most mutations of an
  // encoded token are invalid base64url.
  const std::size_t newline = input.find('\n');
  if (newline != std::string_view::npos) {
    Authenticate("Bearer " + fakes::SigningInput(input.substr(0, newline), input.substr(newline + 1)) + "." +
                 std::string(86, 'A'));
    input.remove_prefix(newline + 1);
  }
  static const ClaimRules rules(Configuration());
  const auto accepted = rules.Judge(input, Seconds(1'800'000'000));
  if (accepted.ok()) CheckName(accepted->caller);
  const auto keys = KeySet::Parse(input);
  if (keys.ok()) fuzz::Check((*keys)->size() > 0 && (*keys)->size() <= kMaxKeys);
}

}  // namespace
}  // namespace tokend::identity

// Takes the input as the "authorization" metadata with and without its scheme, as a header and claims, as
// claims, and as a key set.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tokend::identity::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
