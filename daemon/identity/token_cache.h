#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "daemon/base/sha256.h"
#include "daemon/identity/claims.h"

namespace tokend::identity {

// The callers of verified tokens, by the SHA-256 of the token: the cache holds no token. An entry is valid
// for the key set that verified it, and until the token expires. Beyond `max_entries` the oldest are dropped.
// Any thread.
class TokenCache {
 public:
  explicit TokenCache(std::size_t max_entries) : max_entries_(max_entries) {}

  // The token's caller; nothing without a valid entry. `now` is of the wall clock.
  std::optional<std::string> Find(const Sha256Digest& token, std::uint64_t key_set, Seconds now);

  void Add(const Sha256Digest& token, std::uint64_t key_set, ClaimRules::Accepted accepted);

  std::size_t size() const;

 private:
  struct Entry {
    Sha256Digest token;
    std::uint64_t key_set;
    ClaimRules::Accepted accepted;
  };
  using Entries = std::list<Entry>;
  // The bytes of a digest are already evenly distributed.
  struct Hash {
    std::size_t operator()(const Sha256Digest& digest) const {
      std::size_t hash = 0;
      std::memcpy(&hash, digest.data(), sizeof hash);
      return hash;
    }
  };

  using ByToken = std::unordered_map<Sha256Digest, Entries::iterator, Hash>;

  void Erase(ByToken::iterator entry);

  const std::size_t max_entries_;
  mutable std::mutex mutex_;
  Entries entries_;  // the oldest first
  ByToken by_token_;
};

}  // namespace tokend::identity
