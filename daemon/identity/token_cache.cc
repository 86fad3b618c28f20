#include "daemon/identity/token_cache.h"

#include <iterator>
#include <utility>

namespace tokend::identity {

std::optional<std::string> TokenCache::Find(const Sha256Digest& token, std::uint64_t key_set, Seconds now) {
  const std::lock_guard lock(mutex_);
  const auto found = by_token_.find(token);
  if (found == by_token_.end()) return std::nullopt;
  const Entry& entry = *found->second;
  if (entry.key_set == key_set && now < entry.accepted.expires) return entry.accepted.caller;
  Erase(found);
  return std::nullopt;
}

void TokenCache::Add(const Sha256Digest& token, std::uint64_t key_set, ClaimRules::Accepted accepted) {
  const std::lock_guard lock(mutex_);
  if (const auto known = by_token_.find(token); known != by_token_.end()) Erase(known);
  while (entries_.size() >= max_entries_) Erase(by_token_.find(entries_.front().token));
  entries_.push_back({token, key_set, std::move(accepted)});
  by_token_.emplace(token, std::prev(entries_.end()));
}

void TokenCache::Erase(ByToken::iterator entry) {
  entries_.erase(entry->second);
  by_token_.erase(entry);
}

std::size_t TokenCache::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace tokend::identity
