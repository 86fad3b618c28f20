#pragma once

#include <array>
#include <cstddef>
#include <cstring>

#include "absl/container/flat_hash_map.h"
#include "daemon/state/charges.h"

namespace tokend::state {

// The buckets that are not full: 24 bytes each, and at most half as much again for empty places. A bucket
// that is full again counts as one that was never used, and is forgotten after a while. One thread.
class LimitTable {
 public:
  // How many buckets are kept. If there are so many, no token can be taken from another bucket.
  static constexpr std::size_t kMaxBuckets = 4'000'000;

  explicit LimitTable(std::size_t max_buckets = kMaxBuckets) : max_buckets_(max_buckets) {}

  // When a bucket will be full; the clock's epoch if the bucket is not kept.
  TimePoint FullAt(const LimitKey& key) const;

  // Whether one more bucket can be kept.
  bool HasRoom() const { return size_ < max_buckets_; }
  // Without room, looks for buckets that are full again: at most a hundred times a second.
  void MakeRoom(TimePoint now);

  // Takes a token, also from an empty bucket.
  void Spend(const Charge& charge, TimePoint now);
  // Gives back a token that was taken at `spent_at`, less what has grown back since.
  void GiveBack(const Charge& charge, TimePoint spent_at, TimePoint now);

  std::size_t size() const { return size_; }

 private:
  // Forgets the full buckets of one shard, of the next shard at the next call.
  void ForgetSomeFull(TimePoint now);

  struct KeyHash {
    std::size_t operator()(const LimitKey& key) const {
      std::size_t hash = 0;  // the key is a hash
      std::memcpy(&hash, key.data(), sizeof(hash));
      return hash;
    }
  };
  using Shard = absl::flat_hash_map<LimitKey, TimePoint, KeyHash>;
  static constexpr std::size_t kShards = 64;

  static std::size_t ShardOf(const LimitKey& key) { return key.back() % kShards; }

  const std::size_t max_buckets_;
  std::array<Shard, kShards> shards_;
  std::size_t size_ = 0;
  std::size_t next_shard_ = 0;
  std::size_t added_ = 0;  // since buckets were last forgotten
  TimePoint looked_at_;    // when room was last looked for
};

}  // namespace tokend::state
