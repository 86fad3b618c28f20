#pragma once

#include <openssl/crypto.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <ostream>
#include <string_view>
#include <vector>

namespace tokend {

// Overwrites memory before it gives it back, growth included.
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

// Bytes that are wiped when they go: a message that may hold a secret, on its way through buffers of our own.
using WipedBytes = std::vector<char, WipingAllocator<char>>;

// Bytes that must not be seen: move-only, wiped when they end or move, with no way to print, compare,
// format or convert them. Expose() is the only way out; a test holds the list of folders that may call it.
// Owned by one thread at a time.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      WipedBytes taken = std::move(other.bytes_);
      other.bytes_.clear();
      bytes_.swap(taken);
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  // The bytes, valid until this ends or changes. Never put what this returns into a message of any kind.
  std::string_view Expose() const { return {bytes_.data(), bytes_.size()}; }

  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  // Room for `capacity` bytes, so that appending does not move them.
  void Reserve(std::size_t capacity) { bytes_.reserve(capacity); }
  std::size_t capacity() const { return bytes_.capacity(); }
  void Append(std::string_view bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

 private:
  WipedBytes bytes_;
};

// What a failing test prints instead of the bytes. A template, since for a derived type GoogleTest would take
// its own printer of bytes before a conversion.
template <std::derived_from<Secret> T>
void PrintTo(const T&, std::ostream* out) {
  *out << "[redacted]";
}

// An organization's Applivery API key. Only upstream/ ever holds one.
class ApiKey : public Secret {
 public:
  using Secret::Secret;
  explicit ApiKey(Secret secret) : Secret(std::move(secret)) {}
};

// A token's secret, on its way from upstream/ to the one caller who may have it.
class Bearer : public Secret {
 public:
  using Secret::Secret;
};

}  // namespace tokend
