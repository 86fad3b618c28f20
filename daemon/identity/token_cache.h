#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "daemon/base/sha256.h"
#include "daemon/identity/claims.h"

namespace tokend::identity {

// Tokens that have been verified, by their SHA-256: never the tokens themselves. An entry counts for the key
// set that it was verified with, and until it expires; past `max_entries` the oldest go. Any thread.
class TokenCache {
 public:
  using Digest = Sha256Digest;
  static Digest DigestOf(std::string_view token);

  explicit TokenCache(std::size_t max_entries) : max_entries_(max_entries) {}

  // The caller whose token it is.
  std::optional<std::string> Find(const Digest& token, std::uint64_t key_set, Seconds now);

  void Add(const Digest& token, std::uint64_t key_set, ClaimRules::Accepted accepted);

  std::size_t size() const;

 private:
  struct Entry {
    Digest token;
    std::uint64_t key_set;
    ClaimRules::Accepted accepted;
  };
  using Entries = std::list<Entry>;
  // A digest's own bytes are as good as any hash of them.
  struct Hash {
    std::size_t operator()(const Digest& digest) const {
      std::size_t hash = 0;
      std::memcpy(&hash, digest.data(), sizeof hash);
      return hash;
    }
  };

  const std::size_t max_entries_;
  mutable std::mutex mutex_;
  Entries entries_;  // the oldest first
  std::unordered_map<Digest, Entries::iterator, Hash> by_token_;
};

}  // namespace tokend::identity
