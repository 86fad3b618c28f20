#include "daemon/identity/key_set.h"

#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <map>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/sha256.h"
#include "daemon/identity/base64url.h"
#include "daemon/identity/strict_json.h"

namespace tokend::identity {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kMinRsaBits = 2048;
constexpr std::size_t kMaxRsaBits = 8192;
constexpr std::size_t kMaxRsaExponentBytes = 8;

struct Curve {
  std::string_view name;
  cjose_jwk_ec_curve curve;
  std::size_t coordinate_bytes;
};
constexpr std::array<Curve, 3> kCurves = {{{"P-256", CJOSE_JWK_EC_P_256, 32},
                                           {"P-384", CJOSE_JWK_EC_P_384, 48},
                                           {"P-521", CJOSE_JWK_EC_P_521, 66}}};

std::atomic<std::uint64_t> last_id{0};

// The integer or coordinate under the key; empty if there is none.
std::string BytesOf(const dom::object& jwk, std::string_view key) {
  const auto text = TextOf(jwk, key);
  return text ? DecodeBase64Url(*text).value_or("") : "";
}

// The libraries take bytes that they do not change without const.
std::uint8_t* Data(std::string& bytes) { return reinterpret_cast<std::uint8_t*>(bytes.data()); }

// Of a number that does not begin with a zero byte.
std::size_t BitsOf(std::string_view big_endian) {
  const auto first = static_cast<unsigned char>(big_endian.front());
  return big_endian.size() * 8 - static_cast<std::size_t>(std::countl_zero(first));
}

constexpr char kBadNumbers[] = "with numbers that make no key";

// How many keys of a set were left out, by the reason.
using LeftOut = std::map<std::string, std::size_t>;

std::string Describe(const LeftOut& left_out, std::size_t keys) {
  if (left_out.empty()) return "";
  std::size_t count = 0;
  std::string reasons;
  for (const auto& [why, times] : left_out) {
    count += times;
    absl::StrAppend(&reasons, reasons.empty() ? "" : ", ", times, " ", why);
  }
  return absl::StrCat(count, " of ", keys, " keys left out: ", reasons);
}

// SPIFFE writes "jwt-svid" in the bundles of trust domains.
bool IsToVerify(const dom::object& jwk) {
  if (HasKey(jwk, "use")) {
    const auto use = TextOf(jwk, "use");
    if (use != "sig" && use != "jwt-svid") return false;
  }
  const auto operations = jwk.at_key("key_ops");
  if (operations.error() != simdjson::SUCCESS) return true;
  dom::array list;
  if (operations.get(list) != simdjson::SUCCESS) return false;
  return std::any_of(list.begin(), list.end(), [](const dom::element& operation) {
    std::string_view text;
    return operation.get(text) == simdjson::SUCCESS && text == "verify";
  });
}

}  // namespace

KeySet::KeySet() : id_(++last_id) {}

Result<std::shared_ptr<const KeySet>> KeySet::Parse(std::string_view text) {
  if (text.size() > kMaxKeySetBytes) return absl::InvalidArgumentError("is larger than 256 KiB");
  const std::optional<StrictJson> json = StrictJson::Parse(text);
  dom::array list;
  if (!json || json->object().at_key("keys").get(list) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(
        "is not a JWK Set: a JSON object without repeated keys whose \"keys\" is a list");
  }
  if (list.size() > kMaxKeys) return absl::InvalidArgumentError("has more than 100 keys");

  const std::shared_ptr<KeySet> set(new KeySet());
  set->digest_ = Sha256Hex(text);
  LeftOut left_out;
  for (const dom::element element : list) {
    Key key;
    if (const char* why = ReadKey(element, key)) {
      ++left_out[why];
    } else {
      set->keys_.push_back(std::move(key));
    }
  }
  set->left_out_ = Describe(left_out, list.size());
  if (set->keys_.empty()) {
    return absl::InvalidArgumentError(
        "has no key that verifies tokens: RSA of 2048 to 8192 bits, or EC on P-256, P-384 or P-521");
  }
  return std::shared_ptr<const KeySet>(set);
}

const char* KeySet::ReadKey(const dom::element& element, Key& key) {
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  dom::object jwk;
  if (element.get(jwk) != simdjson::SUCCESS) return "not a JSON object";
  if (!IsToVerify(jwk)) return "for another use";
  const auto kind = TextOf(jwk, "kty");
  const char* const fault = kind == "RSA"  ? ReadRsa(jwk, key)
                            : kind == "EC" ? ReadEc(jwk, key)
                                           : "neither RSA nor EC";
  if (fault != nullptr) return fault;
  if (HasKey(jwk, "alg")) {
    key.algorithm = FindAlgorithm(TextOf(jwk, "alg").value_or(""));
    if (key.algorithm == nullptr || !key.Fits(*key.algorithm)) return "for another algorithm";
  }
  if (HasKey(jwk, "kid")) {
    const auto id = TextOf(jwk, "kid");
    if (!id) return "with a key id that is not a text";
    key.id = *id;
  }
  return nullptr;
}

const char* KeySet::ReadRsa(const dom::object& jwk, Key& key) {
  std::string modulus = BytesOf(jwk, "n");
  std::string exponent = BytesOf(jwk, "e");
  modulus.erase(0, modulus.find_first_not_of('\0'));
  exponent.erase(0, exponent.find_first_not_of('\0'));
  if (modulus.empty() || exponent.empty() || exponent.size() > kMaxRsaExponentBytes) {
    return kBadNumbers;
  }
  const std::size_t bits = BitsOf(modulus);
  const bool odd = (static_cast<unsigned char>(exponent.back()) & 1U) != 0;
  const bool one = exponent == std::string(1, '\x01');
  if (bits < kMinRsaBits || bits > kMaxRsaBits) return "RSA outside 2048 to 8192 bits";
  if (!odd || one) return kBadNumbers;

  cjose_jwk_rsa_keyspec spec = {};
  spec.n = Data(modulus);
  spec.nlen = modulus.size();
  spec.e = Data(exponent);
  spec.elen = exponent.size();
  key.jwk.reset(cjose_jwk_create_RSA_spec(&spec, nullptr));
  key.kind = Algorithm::Kind::kRsa;
  key.signature_bytes = modulus.size();
  return key.jwk != nullptr ? nullptr : kBadNumbers;
}

const char* KeySet::ReadEc(const dom::object& jwk, Key& key) {
  const auto name = TextOf(jwk, "crv");
  const auto* curve =
      std::find_if(kCurves.begin(), kCurves.end(), [name](const Curve& known) { return known.name == name; });
  if (curve == kCurves.end()) return "on another curve than P-256, P-384 and P-521";
  std::string x = BytesOf(jwk, "x");
  std::string y = BytesOf(jwk, "y");
  if (x.size() != curve->coordinate_bytes || y.size() != curve->coordinate_bytes) return kBadNumbers;

  cjose_jwk_ec_keyspec spec = {};
  spec.crv = curve->curve;
  spec.x = Data(x);
  spec.xlen = x.size();
  spec.y = Data(y);
  spec.ylen = y.size();
  key.jwk.reset(cjose_jwk_create_EC_spec(&spec, nullptr));
  key.kind = Algorithm::Kind::kEcdsa;
  key.coordinate_bytes = curve->coordinate_bytes;
  key.signature_bytes = 2 * curve->coordinate_bytes;
  return key.jwk != nullptr ? nullptr : kBadNumbers;
}

bool KeySet::Key::Fits(const Algorithm& asked) const {
  return kind == asked.kind && coordinate_bytes == asked.coordinate_bytes &&
         (algorithm == nullptr || algorithm == &asked);
}

bool KeySet::Key::HasSigned(const Jws& jws) const {
  // OpenSSL's errors would otherwise stay in this thread's queue, where the next TLS operation would find
  // them.
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  if (jws.signature_bytes != signature_bytes) return false;
  const std::unique_ptr<cjose_jws_t, decltype(&cjose_jws_release)> token(
      cjose_jws_import(jws.compact.data(), jws.compact.size(), nullptr), &cjose_jws_release);
  if (token == nullptr) return false;
  // cjose reads the header with a parser of its own and verifies by the algorithm that this finds.
  const char* seen = cjose_header_get(cjose_jws_get_protected(token.get()), CJOSE_HDR_ALG, nullptr);
  return seen != nullptr && jws.algorithm->name == seen && cjose_jws_verify(token.get(), jwk.get(), nullptr);
}

Verdict KeySet::Verify(const Jws& jws) const {
  Verdict verdict = Verdict::kUnknownKey;
  for (const Key& key : keys_) {
    if (jws.key_id && key.id != jws.key_id) continue;
    if (jws.key_id) verdict = Verdict::kRefused;
    if (!key.Fits(*jws.algorithm)) continue;
    if (key.HasSigned(jws)) return Verdict::kVerified;
    verdict = Verdict::kRefused;
  }
  return verdict;
}

}  // namespace tokend::identity
