#include "daemon/identity/jws.h"

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/base/text.h"
#include "daemon/identity/base64url.h"
#include "daemon/identity/strict_json.h"

namespace tokend::identity {
namespace {

using Kind = Algorithm::Kind;

constexpr std::array<Algorithm, 9> kAlgorithms = {{{"RS256", Kind::kRsa, 0},
                                                   {"RS384", Kind::kRsa, 0},
                                                   {"RS512", Kind::kRsa, 0},
                                                   {"PS256", Kind::kRsa, 0},
                                                   {"PS384", Kind::kRsa, 0},
                                                   {"PS512", Kind::kRsa, 0},
                                                   {"ES256", Kind::kEcdsa, 32},
                                                   {"ES384", Kind::kEcdsa, 48},
                                                   {"ES512", Kind::kEcdsa, 66}}};

// The types (typ) that a token for tokend may have, without case. A token of another type, such as a logout
// token, does not prove who calls.
constexpr std::array<std::string_view, 3> kTypes = {"jwt", "jose", "at+jwt"};

// A type is a media type, and most issuers leave out its "application/" (RFC 7515, 4.1.9).
constexpr std::string_view kMediaTypePrefix = "application/";

bool IsAcceptedType(std::string_view text) {
  const std::string lower = Lower(text);
  std::string_view type = lower;
  if (type.starts_with(kMediaTypePrefix)) type.remove_prefix(kMediaTypePrefix.size());
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

Status ReadHeader(const std::string& text, Jws& jws) {
  const std::optional<StrictJson> json = StrictJson::Parse(text);
  if (!json)
    return absl::UnauthenticatedError("the token's header is not a JSON object without repeated keys");
  const simdjson::dom::object& header = json->object();
  const auto algorithm = TextOf(header, "alg");
  jws.algorithm = algorithm ? FindAlgorithm(*algorithm) : nullptr;
  if (jws.algorithm == nullptr) {
    return absl::UnauthenticatedError(
        "the token's algorithm is not one of RS, PS and ES with 256, 384 and 512");
  }
  if (HasKey(header, "crit") || HasKey(header, "b64")) {
    return absl::UnauthenticatedError("the token's header asks for an extension");
  }
  if (HasKey(header, "typ") && !IsAcceptedType(TextOf(header, "typ").value_or(""))) {
    return absl::UnauthenticatedError("the token's type is not that of a JWT or an access token");
  }
  if (HasKey(header, "kid")) {
    const auto key_id = TextOf(header, "kid");
    if (!key_id) return absl::UnauthenticatedError("the token's key id is not a text");
    jws.key_id = *key_id;
  }
  return absl::OkStatus();
}

}  // namespace

const Algorithm* FindAlgorithm(std::string_view name) {
  const auto* found = std::find_if(kAlgorithms.begin(), kAlgorithms.end(),
                                   [name](const Algorithm& known) { return known.name == name; });
  return found == kAlgorithms.end() ? nullptr : found;
}

Result<Jws> ParseJws(std::string_view compact) {
  if (compact.size() > kMaxTokenBytes) return absl::UnauthenticatedError("the token is larger than 8 KiB");
  const Status malformed = absl::UnauthenticatedError("the token is not a JWS in compact form");
  const std::size_t first = compact.find('.');
  if (first == std::string_view::npos) return malformed;
  const std::size_t second = compact.find('.', first + 1);
  if (second == std::string_view::npos) return malformed;

  const auto header = DecodeBase64Url(compact.substr(0, first));
  auto payload = DecodeBase64Url(compact.substr(first + 1, second - first - 1));
  const auto signature = DecodeBase64Url(compact.substr(second + 1));
  if (!header || header->empty() || !payload || payload->empty() || !signature || signature->empty()) {
    return malformed;
  }
  Jws jws;
  if (Status status = ReadHeader(*header, jws); !status.ok()) return status;
  jws.payload = *std::move(payload);
  jws.signature_bytes = signature->size();
  jws.compact = compact;
  return jws;
}

}  // namespace tokend::identity
