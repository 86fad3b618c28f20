#include "daemon/state/redis/sealer.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <cassert>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace tokend::state {
namespace {

// The form of a sealed token: this byte, the nonce, the ciphertext, the tag.
constexpr char kVersion = 1;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kOverhead = 1 + kNonceBytes + kTagBytes;
constexpr std::size_t kLengthBytes = 4;

struct Free {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, Free>;

enum class Direction { kOpen = 0, kSeal = 1 };

unsigned char* Bytes(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* Bytes(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
int Size(std::string_view bytes) { return static_cast<int>(bytes.size()); }

// Each part follows its length, so that no two lists of parts give the same bytes.
template <class Buffer>
void AppendPart(std::string_view part, Buffer append) {
  std::array<char, kLengthBytes> length;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length[i] = static_cast<char>(part.size() >> (8 * i));
  append(std::string_view(length.data(), length.size()));
  append(part);
}

std::optional<std::string_view> TakePart(std::string_view& bytes) {
  if (bytes.size() < kLengthBytes) return std::nullopt;
  std::size_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= std::size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  bytes.remove_prefix(kLengthBytes);
  if (bytes.size() < length) return std::nullopt;
  const std::string_view part = bytes.substr(0, length);
  bytes.remove_prefix(length);
  return part;
}

std::string Associated(std::string_view request_id, std::string_view caller) {
  std::string bytes(1, kVersion);
  const auto append = [&bytes](std::string_view part) { bytes.append(part); };
  AppendPart(request_id, append);
  AppendPart(caller, append);
  return bytes;
}

Secret Serialized(const Token& token) {
  std::vector<std::string_view> parts = {token.id, token.organization, token.application, token.description,
                                         token.bearer.Expose()};
  parts.insert(parts.end(), token.scopes.begin(), token.scopes.end());
  std::size_t size = 0;
  for (const std::string_view part : parts) size += kLengthBytes + part.size();
  Secret bytes;
  bytes.Reserve(size);
  for (const std::string_view part : parts) {
    AppendPart(part, [&bytes](std::string_view more) { bytes.Append(more); });
  }
  return bytes;
}

std::shared_ptr<const Token> Parsed(std::string_view bytes) {
  auto token = std::make_shared<Token>();
  for (std::string* field : {&token->id, &token->organization, &token->application, &token->description}) {
    const std::optional<std::string_view> part = TakePart(bytes);
    if (!part) return nullptr;
    *field = *part;
  }
  const std::optional<std::string_view> bearer = TakePart(bytes);
  if (!bearer) return nullptr;
  token->bearer = Bearer(*bearer);
  while (!bytes.empty()) {
    const std::optional<std::string_view> scope = TakePart(bytes);
    if (!scope) return nullptr;
    token->scopes.emplace_back(*scope);
  }
  return token;
}

// Null if that fails.
Context Begin(Direction direction, const Secret& key, std::string_view nonce, std::string_view associated) {
  Context context(EVP_CIPHER_CTX_new());
  int ignored = 0;
  if (context == nullptr ||
      EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(key.Expose()), Bytes(nonce),
                        static_cast<int>(direction)) != 1 ||
      EVP_CipherUpdate(context.get(), nullptr, &ignored, Bytes(associated), Size(associated)) != 1) {
    return nullptr;
  }
  return context;
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
  char* const tag = text + plain.size();
  const Context context = Begin(Direction::kSeal, key_, nonce, Associated(request_id, caller));
  int written = 0;
  int rest = 0;
  if (context == nullptr ||
      EVP_CipherUpdate(context.get(), Bytes(text), &written, Bytes(plain.Expose()), Size(plain.Expose())) !=
          1 ||
      EVP_CipherFinal_ex(context.get(), Bytes(tag), &rest) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag) != 1) {
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

  std::vector<char, WipingAllocator<char>> plain(text.size() + 1);  // not empty
  const Context context = Begin(Direction::kOpen, key_, nonce, Associated(request_id, caller));
  int written = 0;
  int rest = 0;
  if (context == nullptr ||
      EVP_CipherUpdate(context.get(), Bytes(plain.data()), &written, Bytes(text), Size(text)) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) != 1 ||
      EVP_CipherFinal_ex(context.get(), Bytes(plain.data()) + written, &rest) != 1) {
    return DoesNotOpen();
  }
  auto token = Parsed({plain.data(), text.size()});
  if (token == nullptr) return DoesNotOpen();
  return token;
}

}  // namespace tokend::state
