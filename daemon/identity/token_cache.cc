#include "daemon/identity/token_cache.h"

#include <iterator>
#include <utility>

namespace tokend::identity {

TokenCache::Digest TokenCache::DigestOf(std::string_view token) { return Sha256(token); }

std::optional<std::string> TokenCache::Find(const Digest& token, std::uint64_t key_set, Seconds now) {
  const std::lock_guard lock(mutex_);
  const auto found = by_token_.find(token);
  if (found == by_token_.end()) return std::nullopt;
  const Entry& entry = *found->second;
  if (entry.key_set == key_set && now < entry.accepted.expires) return entry.accepted.caller;
  entries_.erase(found->second);
  by_token_.erase(found);
  return std::nullopt;
}

void TokenCache::Add(const Digest& token, std::uint64_t key_set, ClaimRules::Accepted accepted) {
  const std::lock_guard lock(mutex_);
  if (const auto known = by_token_.find(token); known != by_token_.end()) {
    entries_.erase(known->second);
    by_token_.erase(known);
  }
  while (entries_.size() >= max_entries_) {
    by_token_.erase(entries_.front().token);
    entries_.pop_front();
  }
  entries_.push_back({token, key_set, std::move(accepted)});
  by_token_.emplace(token, std::prev(entries_.end()));
}

std::size_t TokenCache::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace tokend::identity
