#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/container/flat_hash_map.h"
#include "daemon/state/charges.h"

namespace tokend::state {

// The buckets that are not full, each 24 bytes and a half of empty places at most; one that is full again is
// as if it had never been, and is forgotten by and by. One thread.
class LimitTable {
 public:
  // Buckets that are not full at a time: no more can be taken from others then.
  static constexpr std::size_t kMaxBuckets = 4'000'000;

  explicit LimitTable(std::size_t max_buckets = kMaxBuckets) : max_buckets_(max_buckets) {}

  // When a bucket will be full; at the clock's beginning where none is kept.
  TimePoint FullAt(const LimitKey& key) const;

  // Whether one more bucket can be kept.
  bool HasRoom() const { return size_ < max_buckets_; }
  // Looks for room where there is none, a hundred times a second at most.
  void MakeRoom(TimePoint now);

  // Takes a token, whether or not there is one.
  void Spend(const Charge& charge, TimePoint now);
  // Puts back one that was taken at `spent_at`.
  void GiveBack(const Charge& charge, TimePoint spent_at, TimePoint now);

  std::size_t size() const { return size_; }

 private:
  // Forgets the full buckets of a sixty-fourth of all, the next one with each call.
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
  TimePoint looked_at_;    // when there was no room
};

}  // namespace tokend::state
