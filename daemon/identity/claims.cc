#include "daemon/identity/claims.h"

#include <simdjson.h>

#include <optional>
#include <utility>

#include "daemon/base/caller_name.h"
#include "daemon/identity/authenticator.h"
#include "daemon/identity/spiffe_id.h"
#include "daemon/identity/strict_json.h"

namespace tokend::identity {
namespace {

namespace dom = simdjson::dom;

// The end of the year 9999.
constexpr double kLatestSecond = 253402300799.0;

bool IsFor(const dom::object& claims, std::string_view audience) {
  if (TextOf(claims, "aud") == audience) return true;
  dom::array list;
  if (claims.at_key("aud").get(list) != simdjson::SUCCESS) return false;
  bool found = false;
  for (const dom::element each : list) {
    std::string_view text;
    if (each.get(text) != simdjson::SUCCESS) return false;
    found = found || text == audience;
  }
  return found;
}

// The NumericDate under the key; nothing if the value is none.
std::optional<Seconds> TimeOf(const dom::object& claims, std::string_view key) {
  double seconds = 0;
  if (claims.at_key(key).get(seconds) != simdjson::SUCCESS) return std::nullopt;
  if (!(seconds >= 0 && seconds <= kLatestSecond)) return std::nullopt;
  return Seconds(seconds);
}

// Whether an optional time is absent, or is valid and in the past.
bool HasCome(const dom::object& claims, std::string_view key, Seconds now) {
  if (!HasKey(claims, key)) return true;
  const auto time = TimeOf(claims, key);
  return time && *time <= now + kLeeway;
}

std::optional<std::string_view> TextAt(dom::object object, const std::vector<std::string>& keys) {
  for (std::size_t i = 0; i + 1 < keys.size(); ++i) {
    if (object.at_key(keys[i]).get(object) != simdjson::SUCCESS) return std::nullopt;
  }
  return TextOf(object, keys.back());
}

// Nothing where a claim is missing, empty or not a text.
std::optional<std::string> NameOf(const dom::object& claims, const config::CallerTemplate& parts) {
  std::string name;
  for (const config::CallerTemplatePart& part : parts) {
    name += part.literal;
    if (part.claim.empty()) continue;
    const auto text = TextAt(claims, part.claim);
    if (!text || text->empty()) return std::nullopt;
    name += *text;
  }
  return name;
}

}  // namespace

ClaimRules::ClaimRules(const config::JwtAuthentication& configuration)
    : issuer_(configuration.issuer),
      audience_(configuration.audience),
      trust_domain_prefix_(configuration.trust_domain.empty()
                               ? ""
                               : std::string(kSpiffePrefix) + configuration.trust_domain + "/"),
      only_trust_domain_(configuration.only_trust_domain),
      template_(config::ParseCallerTemplate(configuration.caller_template).value()) {}

Result<ClaimRules::Accepted> ClaimRules::Judge(std::string_view payload, Seconds now) const {
  const std::optional<StrictJson> json = StrictJson::Parse(payload);
  if (!json)
    return absl::UnauthenticatedError("the token's claims are not a JSON object without repeated keys");
  const dom::object& claims = json->object();
  if (TextOf(claims, "iss") != issuer_)
    return absl::UnauthenticatedError("the token's issuer (iss) is not the configured one");
  if (!IsFor(claims, audience_))
    return absl::UnauthenticatedError("the token's audience (aud) is not the configured one");

  const auto expires = TimeOf(claims, "exp");
  if (!expires) return absl::UnauthenticatedError("the token has no valid time of expiry (exp)");
  if (now >= *expires + kLeeway) return absl::UnauthenticatedError(kTokenExpired);
  if (!HasCome(claims, "nbf", now)) return absl::UnauthenticatedError("the token is not valid yet");
  if (!HasCome(claims, "iat", now))
    return absl::UnauthenticatedError("the token's time of issue (iat) lies in the future");

  std::optional<std::string> name = NameOf(claims, template_);
  if (!name) return absl::UnauthenticatedError("the token lacks a claim that the caller's name needs");
  if (!IsCallerName(*name) || name->find('*') != std::string::npos) {
    return absl::UnauthenticatedError("the token's claims do not give a valid caller name");
  }
  const bool in_trust_domain =
      !trust_domain_prefix_.empty() && name->starts_with(trust_domain_prefix_) && IsWorkloadSpiffeId(*name);
  if (!in_trust_domain && !ReservedPrefixOf(*name).empty()) {
    return absl::UnauthenticatedError(
        "the token's claims give a name that is reserved for another kind of authentication");
  }
  if (!in_trust_domain && only_trust_domain_) {
    return absl::UnauthenticatedError("the token's claims give a name outside the listener's trust domain");
  }
  return Accepted{.caller = *std::move(name), .expires = *expires + kLeeway};
}

}  // namespace tokend::identity
