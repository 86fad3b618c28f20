#pragma once

#include <openssl/crypto.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

namespace tokend {

// Overwrites memory before it frees it, also when a container grows into new memory.
template <class T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <class U>
  WipingAllocator(const WipingAllocator<U>&) {}  // NOLINT: the allocator conversion
  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* memory, std::size_t count) {
    OPENSSL_cleanse(memory, count * sizeof(T));
    std::allocator<T>().deallocate(memory, count);
  }
  friend bool operator==(const WipingAllocator&, const WipingAllocator&) { return true; }
};

// Bytes that are wiped when they are freed: a buffer for messages that may contain a secret.
using WipedBytes = std::vector<char, WipingAllocator<char>>;

// Secret bytes. The type is move-only, wipes its bytes when it is destroyed or moved from, and cannot be
// printed, compared, formatted or converted. Expose() is the only access; a test keeps the list of folders
// that may call it. One thread at a time.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
  Secret(Secret&& other) noexcept = default;
  Secret& operator=(Secret&& other) noexcept {
    bytes_ = std::exchange(other.bytes_, {});
    return *this;
  }

  // The bytes, valid until this object changes or is destroyed. Never put them into a message of any kind.
  std::string_view Expose() const { return {bytes_.data(), bytes_.size()}; }

  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  // Allocates room for `capacity` bytes, so that Append does not move the bytes until then.
  void Reserve(std::size_t capacity) { bytes_.reserve(capacity); }
  std::size_t capacity() const { return bytes_.capacity(); }
  void Append(std::string_view bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

 private:
  WipedBytes bytes_;
};

// A failing test prints this text instead of the bytes. It is a template because for a derived type
// GoogleTest would prefer its own byte printer to a function that needs a conversion.
template <std::derived_from<Secret> T>
void PrintTo(const T&, std::ostream* out) {
  *out << "[redacted]";
}

// An organization's API key for Applivery. Only upstream/ holds one.
class ApiKey : public Secret {
 public:
  using Secret::Secret;
  explicit ApiKey(Secret secret) : Secret(std::move(secret)) {}
};

// The secret of a token, on its way from upstream/ to the caller that requested it.
class Bearer : public Secret {
 public:
  using Secret::Secret;
};

}  // namespace tokend
