#include "daemon/state/redis/sealer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <cassert>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/base/form.h"

namespace tokend::state {
namespace {

// The form of a sealed token: this byte, the nonce, the ciphertext, the tag.
constexpr char kVersion = 1;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kOverhead = 1 + kNonceBytes + kTagBytes;
constexpr std::size_t kLengthBytes = 4;

enum class Direction { kOpen = 0, kSeal = 1 };

unsigned char* Bytes(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* Bytes(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
int Size(std::string_view bytes) { return static_cast<int>(bytes.size()); }

// Each part follows its length, so that no two lists of parts give the same bytes.
Secret Joined(const std::vector<std::string_view>& parts) {
  std::size_t size = 0;
  for (const std::string_view part : parts) size += kLengthBytes + part.size();
  Secret bytes;
  bytes.Reserve(size);
  for (const std::string_view part : parts) {
    std::array<char, kLengthBytes> length;
    for (std::size_t i = 0; i < kLengthBytes; ++i) length[i] = static_cast<char>(part.size() >> (8 * i));
    bytes.Append({length.data(), length.size()});
    bytes.Append(part);
  }
  return bytes;
}

// The parts that Joined joined; nothing if it did not make these bytes.
std::optional<std::vector<std::string_view>> PartsOf(std::string_view bytes) {
  std::vector<std::string_view> parts;
  while (!bytes.empty()) {
    if (bytes.size() < kLengthBytes) return std::nullopt;
    std::size_t length = 0;
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
      length |= std::size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    }
    bytes.remove_prefix(kLengthBytes);
    if (bytes.size() < length) return std::nullopt;
    parts.push_back(bytes.substr(0, length));
    bytes.remove_prefix(length);
  }
  return parts;
}

Secret Serialized(const Token& token) {
  std::vector<std::string_view> parts = {token.id, token.organization, token.application, token.description,
                                         token.bearer.Expose()};
  parts.insert(parts.end(), token.scopes.begin(), token.scopes.end());
  return Joined(parts);
}

std::shared_ptr<const Token> Parsed(std::string_view bytes) {
  constexpr std::size_t kScopes = 5;  // the parts from here on
  const auto parts = PartsOf(bytes);
  if (!parts || parts->size() < kScopes) return nullptr;
  auto token = std::make_shared<Token>();
  token->id = (*parts)[0];
  token->organization = (*parts)[1];
  token->application = (*parts)[2];
  token->description = (*parts)[3];
  token->bearer = Bearer((*parts)[4]);
  token->scopes.assign(parts->begin() + kScopes, parts->end());
  return token;
}

// Seals or opens `in` as `out`, which has its size, and writes or checks the tag. The sealed text is bound to
// the associated bytes.
bool Crypt(Direction direction, const Secret& key, std::string_view nonce, std::string_view associated,
           std::string_view in, char* out, char* tag) {
  const std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> owner(EVP_CIPHER_CTX_new(),
                                                                         &EVP_CIPHER_CTX_free);
  EVP_CIPHER_CTX* const context = owner.get();
  const bool seals = direction == Direction::kSeal;
  int written = 0;
  int rest = 0;
  return context != nullptr &&
         EVP_CipherInit_ex(context, EVP_aes_256_gcm(), nullptr, Bytes(key.Expose()), Bytes(nonce),
                           static_cast<int>(direction)) == 1 &&
         EVP_CipherUpdate(context, nullptr, &written, Bytes(associated), Size(associated)) == 1 &&
         EVP_CipherUpdate(context, Bytes(out), &written, Bytes(in), Size(in)) == 1 &&
         (seals || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag) == 1) &&
         EVP_CipherFinal_ex(context, Bytes(out) + written, &rest) == 1 &&
         (!seals || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, kTagBytes, tag) == 1);
}

std::string Associated(std::string_view request_id, std::string_view caller) {
  return std::string(1, kVersion).append(Joined({request_id, caller}).Expose());
}

Status DoesNotOpen() { return absl::DataLossError("the token in Redis was not sealed with this key"); }
Status CannotSeal() { return absl::InternalError("OpenSSL cannot seal a token"); }

}  // namespace

Sealer::Sealer(Secret key) : key_(std::move(key)) { assert(key_.size() == kKeyBytes); }

Result<std::string> Sealer::Seal(const Token& token, std::string_view request_id,
                                 std::string_view caller) const {
  const Secret plain = Serialized(token);
  std::array<unsigned char, kNonceBytes> random;
  // Nothing may be sealed without a fresh nonce.
  if (RAND_bytes(random.data(), kNonceBytes) != 1) return CannotSeal();
  const std::string_view nonce(reinterpret_cast<const char*>(random.data()), random.size());

  std::string sealed(kOverhead + plain.size(), kVersion);
  nonce.copy(sealed.data() + 1, kNonceBytes);
  char* const text = sealed.data() + 1 + kNonceBytes;
  if (!Crypt(Direction::kSeal, key_, nonce, Associated(request_id, caller), plain.Expose(), text,
             text + plain.size())) {
    return CannotSeal();
  }
  return sealed;
}

Result<std::shared_ptr<const Token>> Sealer::Open(std::string_view sealed, std::string_view request_id,
                                                  std::string_view caller) const {
  if (sealed.size() < kOverhead || sealed.front() != kVersion) return DoesNotOpen();
  const std::string_view nonce = sealed.substr(1, kNonceBytes);
  const std::string_view text = sealed.substr(1 + kNonceBytes, sealed.size() - kOverhead);
  std::array<char, kTagBytes> tag;
  sealed.substr(sealed.size() - kTagBytes).copy(tag.data(), kTagBytes);

  WipedBytes plain(text.size() + 1);  // not empty
  if (!Crypt(Direction::kOpen, key_, nonce, Associated(request_id, caller), text, plain.data(), tag.data())) {
    return DoesNotOpen();
  }
  auto token = Parsed({plain.data(), text.size()});
  if (token == nullptr) return DoesNotOpen();
  return token;
}

std::string Sealer::KeyCheck() const {
  constexpr std::string_view kText = "tokend: the check value of an encryption key";
  constexpr std::size_t kShownBytes = 16;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  const std::string_view key = key_.Expose();
  if (HMAC(EVP_sha256(), key.data(), Size(key), Bytes(kText), kText.size(), digest.data(), &size) ==
      nullptr) {
    return {};
  }
  return Hex({reinterpret_cast<const char*>(digest.data()), kShownBytes});
}

}  // namespace tokend::state
