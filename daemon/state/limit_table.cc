#include "daemon/state/limit_table.h"

#include <algorithm>
#include <cassert>

namespace tokend::state {
namespace {

// How many buckets are added before the next shard is looked through. It grows with the shards, so that each
// new bucket costs a look at a few old ones.
std::size_t AddedPerLook(std::size_t buckets) { return std::max<std::size_t>(buckets / 1024, 256); }
// Between two looks through a shard for room.
constexpr std::chrono::milliseconds kBetweenLooks{10};

}  // namespace

TimePoint LimitTable::FullAt(const LimitKey& key) const {
  const Shard& shard = shards_[ShardOf(key)];
  const auto bucket = shard.find(key);
  return bucket == shard.end() ? TimePoint() : bucket->second;
}

void LimitTable::Spend(const Charge& charge, TimePoint now) {
  const auto [bucket, added] = shards_[ShardOf(charge.key)].try_emplace(charge.key, now);
  bucket->second = charge.rate.Spend(bucket->second, now);
  if (!added) return;
  ++size_;
  if (++added_ < AddedPerLook(size_)) return;
  added_ = 0;
  ForgetSomeFull(now);
}

void LimitTable::GiveBack(const Charge& charge, TimePoint spent_at, TimePoint now) {
  Shard& shard = shards_[ShardOf(charge.key)];
  const auto bucket = shard.find(charge.key);
  if (bucket == shard.end()) return;
  bucket->second = charge.rate.GiveBack(bucket->second, spent_at, now);
  if (bucket->second > now) return;
  shard.erase(bucket);
  assert(size_ > 0);
  --size_;
}

void LimitTable::MakeRoom(TimePoint now) {
  if (HasRoom() || now - looked_at_ < kBetweenLooks) return;
  looked_at_ = now;
  ForgetSomeFull(now);
}

void LimitTable::ForgetSomeFull(TimePoint now) {
  Shard& shard = shards_[next_shard_];
  next_shard_ = (next_shard_ + 1) % kShards;
  assert(size_ >= shard.size());
  size_ -= shard.size();
  absl::erase_if(shard, [now](const auto& bucket) { return bucket.second <= now; });
  size_ += shard.size();
  if (shard.size() < shard.capacity() / 8) shard.rehash(0);
}

}  // namespace tokend::state
